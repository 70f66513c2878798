"""What kind of hang it is, by the kernel's and the worker's own account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal[
    "stopped", "traced", "GIL held", "blocked loop", "deadlock", "waiting for I/O", "computing", "no progress",
    "starved of CPU", "working", "idle",
]  # fmt: skip

_MUCH = 0.5
"""The share of a processor from which on a thread computes rather than waits."""

_IO = (
    *("poll", "sk_", "skb", "sock", "tcp", "udp", "inet", "unix"),
    *("wait_woken", "pipe", "recv", "read", "accept", "io_"),
)
"""Parts of the kernel's names for the places where it lets a thread wait for input or output."""


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread, as the kernel sees it: `state` as in ps, `waits_in` the kernel's name for where it waits.

    `used`: the share of a processor that it has had lately, `wanted` that it would have had if it never had to wait for
    one; `switches`: how often it has given one up meanwhile.
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
    """All that has been found out about one worker. The first thread is the main one.

    `loop`: an event loop does its work, in the main thread. `answered`: Python code could still run there.
    """

    loop: bool
    answered: bool
    tracer: int
    threads: tuple[Thread, ...]


@dataclass(frozen=True, slots=True)
class Hang:
    """Who hangs, doing what, for how many seconds, and how many of these are no fault of its own."""

    who: str
    doing: str
    seconds: float
    excused: float


def verdict(evidence: Evidence) -> Verdict:
    """What kind of hang it is."""
    if not evidence.threads:
        return "no progress"
    main, *others = evidence.threads
    if main.state in ("T", "t"):
        return "traced" if evidence.tracer or main.state == "t" else "stopped"
    concerned = [main] if evidence.loop else evidence.threads
    if any(thread.state == "D" for thread in concerned):
        return "waiting for I/O"
    if not evidence.answered:
        return "GIL held"
    if any(thread.wanted >= _MUCH for thread in concerned):
        return "blocked loop" if evidence.loop else "computing"
    # Where threads do the work, the main one waits for connections.
    waiting = [main] if evidence.loop or not others else others
    if any(_is_io(thread) for thread in waiting):
        return "waiting for I/O"
    if any(thread.waits_in.startswith("futex") for thread in waiting):
        return "deadlock"
    return "blocked loop" if evidence.loop else "no progress"


def living(evidence: Evidence, doing: str, busy: float, patience: float) -> Verdict:
    """What a worker does that somebody asks about; `busy`: seconds without getting on, 0.0 where it is idle."""
    found = verdict(evidence)
    if found in ("stopped", "traced", "GIL held") or 0 < patience <= busy:
        return found
    # A loop on uvloop says only after a while that it has nothing to do any more; the kernel knows where it is.
    at_rest = evidence.loop and not doing and "poll" in evidence.threads[0].waits_in
    return "working" if busy and not at_rest else "idle"


def _is_io(thread: Thread) -> bool:
    return any(part in thread.waits_in for part in _IO)
