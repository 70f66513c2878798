"""A daemon on a real terminal: Ctrl-C, and the terminal that goes away."""

from __future__ import annotations

import os
import pty
import signal
import sys

import pytest

from support import Running, Start, until

PROGRAM = """
import os, signal, sys
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int

def work(worker):
    print("ready", worker.id, os.getpid(), os.getsid(0) == os.getpid(), sys.stdin.read() == "")
    signal.pause()

def start(_config):
    print("starting", flush=True)
    return [prefork.fork_worker_process(Waiting(i)) for i in range(4)]

prefork.default_main(prefork.PreforkSettings(update_config=lambda: 1, update_server=start), work)
print("returned", flush=True)
"""

# What a shell or a login does: a session of its own (the test has made it) whose terminal this is.
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def on_terminal(start: Start, source: str = PROGRAM) -> tuple[Running, int]:
    """Start a program with a terminal as its controlling one; return it and our end of the terminal."""
    (start.directory / "program.py").write_text(source)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", ON_TERMINAL, sys.executable, "program.py"]
    program = start.command(*command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    program.listen("out", ours)
    return program, ours


def press_ctrl_c(terminal: int, times: int = 1) -> None:
    os.write(terminal, b"\x03" * times)


def test_ctrl_c_ends_it_without_a_trace(start: Start) -> None:
    program, terminal = on_terminal(start)
    for _ in range(4):
        program.expect(r"^ready \d \d+ True True$")
    press_ctrl_c(terminal)
    assert program.wait() == 0
    assert not any("KeyboardInterrupt" in line or "Traceback" in line for line in program.out)
    assert program.out[-1] == "^Creturned", "the terminal's echo"
    assert program.left() == []


@pytest.mark.parametrize("presses", [1, 3])
def test_ctrl_c_ends_it_even_while_workers_are_still_starting(start: Start, presses: int) -> None:
    program, terminal = on_terminal(start)
    program.expect("^starting$")
    press_ctrl_c(terminal, presses)
    program.expect("returned$")
    assert not any("KeyboardInterrupt" in line or "Traceback" in line for line in program.out)
    program.wait()
    assert program.left() == []


def test_a_hangup_ends_it_when_its_terminal_is_gone(start: Start) -> None:
    program, terminal = on_terminal(start, PROGRAM.replace('print("returned", flush=True)', ""))
    for _ in range(4):
        program.expect("^ready")
    program.hang_up(terminal)
    assert program.wait() == 0
    assert program.left() == []


def test_a_hangup_reloads_while_its_terminal_is_there(start: Start) -> None:
    program, _terminal = on_terminal(start)
    for _ in range(4):
        program.expect("^ready")
    program.send(signal.SIGHUP)
    for _ in range(4):
        program.expect("^ready")
    assert len(program.children()) == 8
    assert program.stop() == 0


def test_a_hangup_reloads_where_there_never_was_a_terminal(start: Start) -> None:
    program = start.program(PROGRAM)
    for _ in range(4):
        program.expect("^ready")
    program.send(signal.SIGHUP)
    for _ in range(4):
        program.expect("^ready")
    assert program.stop() == 0


def test_under_nohup_it_outlives_its_terminal(start: Start) -> None:
    (start.directory / "program.py").write_text(PROGRAM)
    ours, theirs = pty.openpty()
    log = start.directory / "log"
    with log.open("w") as stream:
        shell = f"nohup {sys.executable} program.py"
        command = [sys.executable, "-c", ON_TERMINAL, "/bin/sh", "-c", f"exec {shell}"]
        program = start.command(*command, stdin=theirs, stdout=stream, stderr=stream)
    os.close(theirs)

    def times_started() -> int:
        return log.read_text().count("ready")

    until(lambda: times_started() == 4, "it is up")
    os.close(ours)
    until(lambda: times_started() == 8, "it has reloaded")
    assert program.stop() == 0
