"""The report on a hung worker."""

from __future__ import annotations

from ..._core.watch.verdicts import Evidence, Hang, Verdict
from ..units import counted

SENTENCES: dict[Verdict, str] = {
    "stopped": "it was stopped by a signal",
    "traced": "it was stopped by a debugger",
    "gil_held": "a call into C does not return, and no Python code runs meanwhile",
    "library_lock": "the main thread waits for a lock inside a C library",
    "blocked_loop": "its event loop does not return from one callback",
    "deadlock": "it waits for a lock that is not released",
    "waiting_for_io": "it waits for input or output that does not arrive",
    "sleeping": "its threads sleep and no request ends",
    "computing": "its threads compute and no request ends",
    "no_progress": "no request makes progress",
    "working": "it makes progress",
    "idle": "it has nothing to do",
}

_LINES = 120
"""Lines of stacks in a report, at most."""


def report(hang: Hang, kind: Verdict, evidence: Evidence, stacks: str, next_step: str) -> str:
    """Return the whole report, as one block for the log; `next_step`: what happens to the worker now."""
    excused = f", {hang.excused:.1f} s of it starved of CPU" if hang.excused >= 0.1 else ""
    facts = f"(pid {hang.pid}, generation {hang.generation}{excused})"
    what = f"a request has made no progress for {hang.seconds:.1f} s" if hang.free else f"hung for {hang.seconds:.1f} s"
    lines = [f"{hang.slot}: {what} {facts}: {kind}: {_sentence(kind, evidence)}; {next_step}"]
    if hang.doing:
        lines.append(f"  request: {hang.doing}")
    return "\n".join([*lines, details(evidence, stacks)])


def _sentence(kind: Verdict, evidence: Evidence) -> str:
    threads = evidence.native_threads
    if threads and (kind == "library_lock" or (kind == "deadlock" and not evidence.loop)):
        # A worker has none of them: what waits for such a pool waits for ever.
        return f"{SENTENCES[kind]}; the mold had {counted(threads, 'native thread')} when it forked"
    if kind == "gil_held" and evidence.gil:
        name = next((f" ({thread.name})" for thread in evidence.threads if thread.tid == evidence.gil), "")
        return f"{SENTENCES[kind]}: thread {evidence.gil}{name} holds the GIL"
    return SENTENCES[kind]


def details(evidence: Evidence, stacks: str) -> str:
    """Return the state of the threads and the stacks, as indented lines."""
    lines = []
    if evidence.tracer:
        lines.append(f"  traced by pid {evidence.tracer}")
    for thread in evidence.threads[:20]:
        place = f" in {thread.waits_in}" if thread.waits_in else ""
        lines.append(
            f"  thread {thread.tid} ({thread.name}): state {thread.state}{place}, "
            f"{thread.used:.0%} CPU, {thread.switches} context switches"
        )
    written = stacks.splitlines()
    lines += [f"  {line}" for line in written[:_LINES]]
    if len(written) > _LINES:
        lines.append(f"  ... {len(written) - _LINES} more lines")
    if not written:
        lines.append("  no stacks: the worker does not respond" + (f"; {evidence.unread}" if evidence.unread else ""))
    return "\n".join(lines)
