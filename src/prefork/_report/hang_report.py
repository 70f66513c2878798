"""The report on a worker that hangs, for the log and for people who ask."""

from __future__ import annotations

from .._core.verdicts import Evidence, Hang, Verdict

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

_LINES = 120
"""So many lines of stacks are in a report."""


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
