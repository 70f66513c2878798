"""Workers' output on its way to the master's streams: whole lines, all of them, and never in the master's way."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support import PROOF, Start, gone, state, until

PROGRAM = """
import os, signal, subprocess, sys
from dataclasses import dataclass
import prefork

count = int(sys.argv[1])

@dataclass(frozen=True)
class Writer(prefork.WorkerContext):
    id: int

def start(_config):
    return [prefork.fork_worker_process(Writer(i), sys.argv[1:]) for i in range(count)]

def work(worker):
    exec(sys.argv[2])

prefork.default_main(prefork.PreforkSettings(
    update_config=lambda: 1,
    update_server=start,
    on_quit=lambda _config: print("quit", file=sys.stderr, flush=True),
), work)
"""

MANY = r"""
for number in range(50_000):
    sys.stdout.write(f"line {number} of {worker.id}\n")
print("done", worker.id, file=sys.stderr)
signal.pause()
"""


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    ends = [*os.pipe2(os.O_CLOEXEC)]
    try:
        yield ends[0], ends[1]
    finally:
        for end in ends:
            os.close(end)


def full(write_end: int) -> bool:
    """Return whether a pipe is full, since no process reads it."""
    return not select.select([], [write_end], [], 0)[1]


@pytest.mark.parametrize(("workers", "streams"), [(4, "apart"), (50 if PROOF else 12, "one")])
def test_what_workers_write_at_once_is_never_mixed(start: Start, workers: int, streams: str) -> None:
    code = """
line = chr(ord("A") + worker.id) * 9_999 + "\\n"
for _ in range(20):
    (sys.stdout if worker.id % 2 else sys.stderr).write(line)
"""
    program = start.program(PROGRAM, str(workers), code, **({"stderr": subprocess.STDOUT} if streams == "one" else {}))
    program.expect_lines(20 * workers)
    assert program.stop() == 0
    lines = sorted(program.out + program.err)
    assert len(lines) == 20 * workers
    for worker in range(workers):
        assert lines[20 * worker : 20 * worker + 20] == [chr(ord("A") + worker) * 9_999] * 20


@pytest.mark.parametrize(
    ("written", "lengths"),
    [
        ("'x' * 65_535 + '\\n'", [65_535]),
        ("'x' * 65_536 + '\\n'", [65_536]),
        ("'x' * 65_537 + '\\n'", [65_536, 1]),
        ("'x' * 131_072 + '\\n'", [65_536, 65_536]),
        ("'x' * 200_000 + '\\n' + 'y' * 3 + '\\n'", [65_536, 65_536, 65_536, 3_392, 3]),
        ("'no newline at the end'", [21]),
        ("'x' * 70_000", [65_536, 4_464]),
        ("'\\n\\nx\\n'", [0, 0, 1]),
    ],
)
def test_long_lines_are_broken_and_the_rest_is_a_line(start: Start, written: str, lengths: list[int]) -> None:
    program = start.program(PROGRAM, "1", f"sys.stdout.write({written}); sys.stdout.flush(); sys.exit(3)")
    program.expect(r"exited 3 \(pid", "err")
    assert program.stop() == 0
    assert [len(line) for line in program.out] == lengths


def test_last_words_come_before_the_news_of_the_death(start: Start) -> None:
    code = "print('one'); sys.stdout.write('two'); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    program = start.program(PROGRAM, "1", code, stderr=subprocess.STDOUT)
    program.expect(r"killed by SIGKILL \(pid")
    assert program.stop() == 0
    assert program.out[:2] == ["one", "two"]


def test_a_stalled_reader_stops_the_workers_and_not_the_master(start: Start) -> None:
    with pipe() as (read_end, write_end):
        program = start.program(PROGRAM, "2", MANY, stdout=write_end)
        until(lambda: full(write_end), "the reader's pipe is full")
        until(lambda: [state(pid) for pid in program.children()] == ["S", "S"], "both workers wait")
        for _ in range(3):
            program.send(signal.SIGQUIT)
            program.expect("^quit$", "err")
        assert not any(line.startswith("done") for line in program.err)
        os.kill(program.children()[0], signal.SIGKILL)
        killed = int(program.expect(r"^prefork: writer/(\d): killed by SIGKILL \(pid \d+\)$", "err")[1])
        other = 1 - killed
        program.listen("out", os.dup(read_end))  # The reader goes on.
        program.expect(rf"^line 49999 of {other}$")
        program.expect(f"^done {other}$", "err")
        lines = program.out[:]
        assert [line for line in lines if line.endswith(f"of {other}")] == [
            f"line {n} of {other}" for n in range(50_000)
        ]
        rest = [line for line in lines if not line.endswith(f"of {other}")]
        # What the killed one had written in full came too, in order; its last write may have been cut off.
        assert rest[:-1] == [f"line {n} of {killed}" for n in range(len(rest) - 1)]
        assert program.stop() == 0


def test_finished_master_waits_for_stalled_reader_briefly(start: Start) -> None:
    with pipe() as (_, write_end):
        program = start.program(PROGRAM, "1", MANY, stdout=write_end)
        until(lambda: full(write_end), "the reader's pipe is full")
        assert program.stop() == 0


def test_a_reader_that_is_gone_ends_no_process(start: Start) -> None:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    program = start.program(PROGRAM, "2", MANY, stdout=write_end)
    until(lambda: full(write_end), "the reader's pipe is full")
    os.close(read_end)
    os.close(write_end)
    program.expect_each(["^done 0$", "^done 1$"], "err")
    program.send(signal.SIGQUIT)
    program.expect("^quit$", "err")
    assert len(program.children()) == 2
    assert program.stop() == 0


def test_a_file_is_appended_to(start: Start) -> None:
    log = start.directory / "log"
    log.write_text("before\n")
    with log.open("ab") as stream:
        code = r"sys.stdout.write('line\n' * 100_000); sys.exit(3)"
        program = start.program(PROGRAM, "1", code, stdout=stream, stderr=stream)
        assert program.stop_when(lambda: b"writer/0: exited 3 (pid " in log.read_bytes()) == 0
    assert log.read_text().startswith("before\n" + "line\n" * 100_000 + "prefork: writer/0: exited 3 (pid ")


def test_a_file_that_the_shell_has_written_to_is_gone_on_with(start: Start) -> None:
    log = start.directory / "log"
    with log.open("wb", buffering=0) as stream:
        stream.write(b"before\n")
        program = start.program(PROGRAM, "1", r"print('line')", stdout=stream)
        assert program.stop_when(lambda: log.read_bytes() == b"before\nline\n") == 0
        stream.write(b"after\n")
    assert log.read_bytes() == b"before\nline\nafter\n"


def test_a_terminal(start: Start) -> None:
    ours, theirs = pty.openpty()
    program = start.program(PROGRAM, "4", "sys.stdout.write(str(worker.id) * 3_000 + '\\n')", stdout=theirs)
    program.listen("out", ours)
    program.expect_each([f"^{number * 3_000}$" for number in "0123"])
    assert os.get_blocking(theirs), "the terminal is not only ours"
    assert program.stop() == 0
    os.close(theirs)


def test_workers_leftover_writes_without_keeping_the_master(start: Start) -> None:
    code = r"""
for _ in range(6):
    subprocess.Popen(["yes", "still here"])
sys.exit(3)
"""
    program = start.program(PROGRAM, "1", code)
    program.expect(r"exited 3 \(pid", "err")
    for _ in range(3):
        program.send(signal.SIGQUIT)
        program.expect("^quit$", "err")
    program.expect("^still here$")
    program.send(signal.SIGTERM)
    assert program.wait() == 0
    assert all(gone(pid) for pid in program.left()), "it ends by SIGPIPE"


def test_without_standard_streams(start: Start) -> None:
    (start.directory / "program.py").write_text(PROGRAM)
    code = "print('out'); print('err', file=sys.stderr); print(os.listdir('/proc/self/fd'), file=open('seen', 'w'))"
    shell = 'exec "$0" program.py 1 "$1" <&- >&- 2>&-'
    program = start.command("sh", "-c", shell, sys.executable, code)
    seen = start.directory / "seen"
    assert program.stop_when(lambda: seen.exists() and seen.read_text().endswith("]\n")) == 0
