"""Hooks that fork, and hooks that run an event loop: there is one master, and it hears."""

from __future__ import annotations

import os
import signal

import pytest

from support import Start, gone

PROGRAM = """
import asyncio, multiprocessing, os, signal, sys, time
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int

def work(worker):
    print("ready", os.getpid())
    signal.pause()

def start(_config):
    return [prefork.fork_worker_process(Waiting(0))]

def quit(_config):
    {quit}

prefork.default_main(prefork.PreforkSettings(
    update_config=lambda: 1,
    update_server=start,
    on_quit=quit,
    on_finish=lambda _config: print("finished", os.getpid(), flush=True),
), work)
"""


def quitting(*lines: str) -> str:
    return PROGRAM.format(quit="\n    ".join(lines))


@pytest.mark.parametrize(
    "leaves", ["sys.exit(3)", "sys.exit('a text')", "raise ValueError('as it was told to')", "return", "os._exit(0)"]
)
def test_a_child_that_a_hook_forks_ends_where_the_hook_does(start: Start, leaves: str) -> None:
    source = quitting("pid = os.fork()", "if pid == 0:", f"    {leaves}", "print('ended', os.waitpid(pid, 0)[1] >> 8)")
    program = start.program(source)
    program.expect("^ready")
    program.send(signal.SIGQUIT)
    program.expect(f"^ended {3 if '3' in leaves else int('text' in leaves or 'raise' in leaves)}$")
    assert program.stop() == 0
    assert [line for line in program.out if line.startswith("finished")] == [f"finished {program.pid}"]
    assert ("as it was told to" in "".join(program.err)) == ("raise" in leaves)
    assert ("a text" in program.err) == ("text" in leaves)


def test_a_child_that_a_hook_forks_hears_its_signals(start: Start) -> None:
    """Two hundred times at once after its start, when it could still be a copy of the master."""
    source = quitting(
        "fork = multiprocessing.get_context('fork')",
        "for _ in range(200):",
        "    child = fork.Process(target=time.sleep, args=(600,))",
        "    child.start()",
        "    child.terminate()",
        "    child.join(20)",
        "    assert child.exitcode == -signal.SIGTERM, child",
        "print('all ended')",
    )
    program = start.program(source)
    program.expect("^ready")
    program.send(signal.SIGQUIT)
    program.expect("^all ended$")
    assert program.stop() == 0
    assert program.err == []


def test_forked_child_does_not_hide_the_masters_death(start: Start) -> None:
    source = quitting("child = os.fork()", "while child == 0:", "    time.sleep(600)", "print('child', child)")
    program = start.program(source)
    worker = int(program.expect(r"^ready (\d+)")[1])
    program.send(signal.SIGQUIT)
    child = int(program.expect(r"^child (\d+)")[1])
    try:
        program.send(signal.SIGKILL)
        assert gone(worker)
    finally:
        os.kill(child, signal.SIGKILL)


def test_hook_may_take_the_wakeup_descriptor(start: Start) -> None:
    source = quitting(
        "async def main():",
        "    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)",
        "    os.kill(os.getpid(), signal.SIGTERM)",
        "asyncio.run(main())",
    )
    program = start.program(source)
    program.expect("^ready")
    program.send(signal.SIGQUIT)
    assert program.wait() == 0
    assert program.left() == []
