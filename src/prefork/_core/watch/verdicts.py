"""The verdict on a hung worker, from /proc and its own reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal[
    "stopped", "traced", "gil_held", "blocked_loop", "deadlock", "waiting_for_io", "computing", "no_progress",
    "working", "idle",
]  # fmt: skip

_MUCH = 0.5
"""A thread that uses at least this share of a processor computes; one below it waits."""

_IO = (
    *("poll", "sk_", "skb", "sock", "tcp", "udp", "inet", "unix"),
    *("wait_woken", "pipe", "recv", "read", "accept", "io_"),
)
"""Parts of the kernel functions (wchan) in which a thread waits for input or output."""


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread: `state` as in ps, `waits_in` the kernel function or system call in which it waits.

    Over the last measurement: `used` is the share of a processor that it had, `wanted` includes the time in the run
    queue, `switches` counts voluntary context switches.
    """

    tid: int
    name: str
    state: str
    waits_in: str
    used: float
    wanted: float
    switches: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out about one worker; the first thread is the main one.

    `loop`: the worker runs an event loop in its main thread. `answered`: the main thread still runs Python code.
    """

    loop: bool
    answered: bool
    tracer: int
    threads: tuple[Thread, ...]


@dataclass(frozen=True, slots=True)
class Hang:
    """A worker that hangs, what it was doing, and for how many seconds; `excused`: seconds that did not count."""

    slot: str
    pid: int
    generation: int
    doing: str
    seconds: float
    excused: float


def verdict(evidence: Evidence) -> Verdict:
    """Return what kind of hang it is."""
    if not evidence.threads:
        return "no_progress"
    main, *others = evidence.threads
    if main.state in ("T", "t"):
        return "traced" if evidence.tracer or main.state == "t" else "stopped"
    concerned = [main] if evidence.loop else evidence.threads
    if any(thread.state == "D" for thread in concerned):
        return "waiting_for_io"
    if not evidence.answered:
        return "gil_held"
    if any(thread.wanted >= _MUCH for thread in concerned):
        return "blocked_loop" if evidence.loop else "computing"
    # If threads do the work, the main thread only waits for connections.
    waiting = [main] if evidence.loop or not others else others
    if any(_is_io(thread) for thread in waiting):
        return "waiting_for_io"
    if any(thread.waits_in.startswith("futex") for thread in waiting):
        return "deadlock"
    return "blocked_loop" if evidence.loop else "no_progress"


def current_activity(evidence: Evidence, doing: str, busy: float, patience: float) -> Verdict:
    """Return the verdict on any worker; `busy`: seconds without progress, 0.0 if it is idle."""
    found = verdict(evidence)
    if found in ("stopped", "traced", "gil_held") or 0 < patience <= busy:
        return found
    # uvloop reports that it is idle with a delay; the kernel knows at once that it polls.
    at_rest = evidence.loop and not doing and "poll" in evidence.threads[0].waits_in
    return "working" if busy and not at_rest else "idle"


def _is_io(thread: Thread) -> bool:
    return any(part in thread.waits_in for part in _IO)
