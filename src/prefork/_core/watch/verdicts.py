"""The verdict on a hung worker, from /proc and its own reports."""

from __future__ import annotations

from typing import Literal

from ..._records.record import record

Verdict = Literal[
    "stopped", "traced", "gil_held", "library_lock", "blocked_loop", "deadlock", "waiting_for_io", "sleeping",
    "computing", "no_progress", "working", "idle",
]  # fmt: skip

MUCH = 0.5
"""A thread that uses at least this share of a processor computes; one below it waits."""

_IO = (
    *("poll", "sk_", "skb", "sock", "tcp", "udp", "inet", "unix"),
    *("wait_woken", "pipe", "recv", "read", "accept", "io_"),
)
"""Parts of the kernel functions (wchan) in which a thread waits for input or output."""


@record
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


@record
class Evidence:
    """What was found out about one worker; the first thread is the main one.

    `loop`: the worker runs an event loop in its main thread. `answered`: the main thread still runs Python code.
    `working`: the threads that have a request, where they are known. `contended`: a thread waits for the GIL again and
    again. `native_threads`: threads that libraries had in the mold when it forked, and that the worker does not have.
    `gil`: the thread that keeps the GIL, as its memory says; 0 for none, None where that is not known. `unread`: why.
    """

    loop: bool
    answered: bool
    tracer: int
    threads: tuple[Thread, ...]
    working: frozenset[int] = frozenset()
    contended: bool = False
    native_threads: int = 0
    gil: int | None = None
    unread: str = ""


@record
class Hang:
    """A worker that hangs, what it was doing, and for how many seconds; `excused`: seconds that did not count."""

    slot: str
    pid: int
    generation: int
    doing: str
    seconds: float
    excused: float
    free: int = 0
    """Threads that can begin a request, beside a stuck one: such a worker goes on."""


def verdict(evidence: Evidence) -> Verdict:
    """Return what kind of hang it is."""
    if not evidence.threads:
        return "no_progress"
    main, *others = evidence.threads
    if main.state in ("T", "t"):
        return "traced" if evidence.tracer or main.state == "t" else "stopped"
    at_work = [thread for thread in evidence.threads if thread.tid in evidence.working]
    concerned = [main] if evidence.loop else at_work or list(evidence.threads)
    if any(thread.state == "D" for thread in concerned):
        return "waiting_for_io"
    if not evidence.answered:
        return _inside_c(evidence)
    if any(thread.wanted >= MUCH for thread in concerned):
        return "blocked_loop" if evidence.loop else "computing"
    # If threads do the work, and it is not known which, the main thread only waits for connections.
    return _waiting(concerned if evidence.loop or at_work or not others else others, evidence.loop)


def _inside_c(evidence: Evidence) -> Verdict:
    """Return the verdict on a worker whose main thread has not returned to Python."""
    main, *others = evidence.threads
    if evidence.gil is not None:
        return _with_known_gil(evidence, main)
    if evidence.contended or main.state != "S":
        return "gil_held"
    if _is_locked(main):
        # Without the GIL, as far as can be seen. If the mold had no such threads, and no other thread has run here,
        # nothing shows whether it holds the GIL.
        run = any(thread.switches or thread.used for thread in others)
        return "library_lock" if evidence.native_threads or run else "gil_held"
    return "waiting_for_io" if _is_io(main) else "gil_held"


def _with_known_gil(evidence: Evidence, main: Thread) -> Verdict:
    """Return the same where it is known which thread keeps the GIL: a call into C may have released it."""
    if evidence.gil == main.tid or (evidence.gil and evidence.contended):
        return "gil_held"
    if main.state != "S":
        return "blocked_loop" if evidence.loop else "computing"
    return "library_lock" if _is_locked(main) else _waiting([main], evidence.loop)


def _waiting(threads: list[Thread], loop: bool) -> Verdict:
    """Return the verdict on threads that wait: one that waits for a lock may wait for one that waits for more."""
    if any(_is_io(thread) for thread in threads):
        return "waiting_for_io"
    if not loop and any("nanosleep" in thread.waits_in for thread in threads):
        return "sleeping"
    if any(_is_locked(thread) for thread in threads):
        return "deadlock"
    return "blocked_loop" if loop else "no_progress"


def _is_locked(thread: Thread) -> bool:
    return thread.waits_in.startswith("futex")


def current_activity(evidence: Evidence, doing: str, busy: float, patience: float) -> Verdict:
    """Return the verdict on any worker; `busy`: seconds without progress, 0.0 if it is idle."""
    found = verdict(evidence)
    if found in ("stopped", "traced", "gil_held", "library_lock") or 0 < patience <= busy:
        return found
    # uvloop reports that it is idle with a delay; the kernel knows at once that it polls.
    at_rest = evidence.loop and not doing and "poll" in evidence.threads[0].waits_in
    return "working" if busy and not at_rest else "idle"


def _is_io(thread: Thread) -> bool:
    return any(part in thread.waits_in for part in _IO)
