"""What kind of hang it is, from what the kernel and the worker itself have told; and the report that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal[
    "stopped", "traced", "GIL held", "blocked loop", "deadlock", "waiting for I/O", "computing", "no progress",
    "starved of CPU", "working", "idle",
]  # fmt: skip

SENTENCES: dict[Verdict, str] = {
    "stopped": "it has been stopped by a signal, and does not run",
    "traced": "a debugger holds it",
    "GIL held": "a call into C neither returns nor lets Python run",
    "blocked loop": "its event loop is in one callback, and turns no more",
    "deadlock": "it waits for a lock that does not come",
    "waiting for I/O": "it waits for input or output that does not come",
    "computing": "it computes, and comes to no end",
    "no progress": "nothing that it has begun gets on",
    "starved of CPU": "it would work, if it had a processor",
    "working": "it works",
    "idle": "it waits for something to do",
}

_MUCH = 0.5
"""The share of a processor from which on a thread computes rather than waits."""

_IO = (
    *("poll", "sk_", "skb", "sock", "tcp", "udp", "inet", "unix"),
    *("wait_woken", "pipe", "recv", "read", "accept", "io_"),
)
"""Parts of the kernel's names for the places where it lets a thread wait for input or output."""

_LINES = 120
"""So many lines of stacks are in a report."""


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


def report(hang: Hang, kind: Verdict, evidence: Evidence, stacks: str) -> str:
    """The whole of it, as one block for the log."""
    excused = f" ({hang.excused:.1f} s of it for want of a processor)" if hang.excused >= 0.1 else ""
    lines = [f"{hang.who} hangs, for {hang.seconds:.1f} s{excused}: {kind}: {SENTENCES[kind]}"]
    if hang.doing:
        lines.append(f"  it was doing: {hang.doing}")
    return "\n".join([*lines, details(evidence, stacks)])


def details(evidence: Evidence, stacks: str) -> str:
    """What the kernel and the worker itself have told."""
    lines = []
    if evidence.tracer:
        lines.append(f"  it is traced by pid {evidence.tracer}")
    for thread in evidence.threads[:20]:
        place = f" in {thread.waits_in}" if thread.waits_in else ""
        lines.append(
            f"  thread {thread.tid} ({thread.name}): state {thread.state}{place}, "
            f"{thread.used:.0%} of a processor, {thread.switches} switches"
        )
    written = stacks.splitlines()
    lines += [f"  {line}" for line in written[:_LINES]]
    if len(written) > _LINES:
        lines.append(f"  ... and {len(written) - _LINES} lines more")
    if not written:
        lines.append("  no stacks: it does not answer")
    return "\n".join(lines)


def _is_io(thread: Thread) -> bool:
    return any(part in thread.waits_in for part in _IO)
