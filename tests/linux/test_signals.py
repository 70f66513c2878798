"""Signals: whatever storm they come in, no kind is lost and the master stays what it was."""

from __future__ import annotations

import os
import random
import signal
from time import monotonic

import pytest

from support import Start, until

STORMED = """
import os, signal
from dataclasses import dataclass, field
from pathlib import Path
import prefork

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int
    version: str = field(compare=False)

def work(worker):
    print("ready", worker.id, worker.version, os.getpid())
    signal.pause()

def update(resource):
    version = Path("version").read_text()
    prefork.update_worker_set(resource, [Waiting(i, version) for i in range(3)])
    return version

def settings():
    made = prefork.relaunch_settings(prefork.PreforkResource(), update, prefork.fork_worker_process)
    return prefork.PreforkSettings(**{**vars(made), "on_quit": lambda version: print("quit", version, flush=True)})

prefork.default_main(settings, work)
"""

KINDS = [
    signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU,
    signal.SIGCHLD, signal.SIGCONT, signal.SIGWINCH, signal.SIGURG, signal.SIGPIPE,
]  # fmt: skip


def test_a_storm_of_signals(start: Start) -> None:
    version = start.directory / "version"
    version.write_text("first")
    program = start.program(STORMED)
    program.expect_each([f"^ready {number} first" for number in range(3)])
    chosen = random.Random(1).choices(KINDS, k=1000)
    begun = monotonic()
    for number in chosen:
        program.send(number)
    assert monotonic() - begun < 1
    version.write_text("last")
    # One more of each kind that does something, at once and into whatever of the storm is still pending.
    for number in (signal.SIGQUIT, signal.SIGHUP):
        program.send(number)
    new = program.expect_each([rf"^ready {number} last (\d+)" for number in range(3)])
    program.send(signal.SIGQUIT)
    program.expect("^quit last$")
    # HUPs that came after the version was written may have started the same set once more; one set stays.
    until(lambda: len(program.children()) == 3, "three workers")
    assert len({match[1] for match in new.values()}) == 3
    assert program.stop() == 0
    assert not [line for line in program.err if " before it decoded its context (pid " not in line]


OVERFLOWN = """
import os, signal
from prefork._linux.signals import SignalInbox

before = signal.getsignal(signal.SIGHUP)
with SignalInbox() as inbox:
    for _ in range(70_000):  # The pipe holds 65,536 bytes, one a signal.
        signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    signal.raise_signal(signal.SIGHUP)
    first, *others = inbox.take()
    print(first, sorted(others), list(inbox.take()))
    signal.raise_signal(signal.SIGTERM)
    print(len(os.read(inbox.wakeup, 9)), list(inbox.take()))
print(signal.getsignal(signal.SIGHUP) == before)
"""


def test_kinds_are_kept_where_the_wakeup_pipe_overflows(start: Start) -> None:
    """In a process of its own, as signals are the whole process's."""
    program = start.program(OVERFLOWN)
    assert program.wait() == 0, program.err
    assert program.out == ["HUP ['USR1', 'USR2'] []", "1 ['TERM']", "True"]


def ignore_ends_and_block_signals() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD])


@pytest.mark.parametrize("way", ["pidfd_open", "no pidfd_open"])
def test_what_the_starter_ignored_or_blocked_works_all_the_same(start: Start, way: str) -> None:
    (start.directory / "version").write_text("first")
    source = (
        STORMED if way == "pidfd_open" else STORMED.replace("import prefork\n", "import prefork\ndel os.pidfd_open\n")
    )
    program = start.program(source, preexec_fn=ignore_ends_and_block_signals)
    first = program.expect_each([rf"^ready {number} first (\d+)$" for number in range(3)])
    pid = next(int(match[1]) for match in first.values())
    os.kill(pid, signal.SIGKILL)
    program.expect(rf"killed by SIGKILL \(pid {pid}\)$", "err")
    program.expect("^ready")
    program.send(signal.SIGHUP)
    program.expect_each([f"^ready {number} first" for number in range(3)])
    program.send(signal.SIGQUIT)
    program.expect("^quit first$")
    assert program.stop() == 0
