"""Samples of processes: which functions their threads run, again and again, counted by stack.

A thread counts if it was on a processor when its stack was read (`threads`), so that shares are shares of processor
time. A thread whose processor this process has just taken to look at it is on none. That would happen most often where
no processor is idle, as while clients work on answers, and the shares of what a worker does then would be too low. So
before each look this process goes to a processor that it chooses by chance (`Seat`): it takes the thread's own equally
often, whatever the thread does.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from time import monotonic, monotonic_ns, process_time, sleep
from typing import Any

from ..._records.record import record
from ..._wire.frames import is_beneath
from ..unwinder import COMPLETE, Frame, Thread, Unreadable, Unwinder
from .seat import Seat
from .threads import Figures, Standing, Threads

SHARE = 0.1
"""How much of a processor a reader may use: with more workers or threads it takes fewer samples."""

_CHANGED = "(changed while it was read)"
"""Of a stack that cannot be read. A second attempt would more likely meet a function that takes long."""
_POLL, _LONGEST_TICK = 0.0004, 0.011
"""Seconds between two looks at the figures of a thread, and until they have changed if it runs."""


@record
class Wanted:
    """What is to be sampled: pids by slot, for how many seconds, how often a second.

    `idle`: count threads that wait, too.
    """

    workers: dict[str, int]
    seconds: float
    rate: int
    idle: bool


def sampled(wanted: Wanted, unwanted: Callable[[], bool]) -> dict[str, Any]:
    """Return the profile (docs/profile.md). Ends early when `unwanted` returns true. Raises Unreadable."""
    sources = [_Source(slot, pid, wanted.idle) for slot, pid in wanted.workers.items()]
    counts: Counter[str] = Counter()
    seat = Seat()
    start = due = monotonic()
    while (now := monotonic()) < start + wanted.seconds and not unwanted():
        used, woken = process_time(), monotonic_ns()
        seen = [each for source in sources for each in source.sample(seat.is_the_only_one)]
        counts.update(each.stack for each in seen if each.before is None)
        counts.update(_that_ran([each for each in seen if each.before is not None], woken))
        if all(source.ended for source in sources):
            break
        used = process_time() - used
        # By chance a little early or late: work that comes as regularly as the samples would be seen always or never.
        due = max(due + 1 / wanted.rate, now + used / SHARE)
        seat.change()
        sleep(max(0.0, due + random.uniform(-0.4, 0.4) / wanted.rate - monotonic()))
    workers = {each.slot: {"pid": each.pid, "samples": each.samples, "missed": each.missed} for each in sources}
    by = {"by": f"Python {sys.version_info[0]}.{sys.version_info[1]}", "complete": COMPLETE}
    return {**by, "seconds": round(monotonic() - start, 2), "workers": workers, "stacks": dict(counts)}


@record
class _Seen:
    """A thread's stack; `before`: its figures just before where they must show that it ran; None: it counts."""

    stack: str
    tid: int
    threads: Threads
    before: Figures | None


def _that_ran(seen: list[_Seen], woken: int) -> Iterator[str]:
    """Yield the stacks of those threads that had a processor when they were read, or until this process woke."""
    end, ours = monotonic() + _LONGEST_TICK, monotonic_ns() - woken
    while seen and monotonic() < end:
        waiting = []
        for each in seen:
            assert each.before is not None
            ran = each.before.ran_until(each.threads.figures(each.tid), ours)
            if ran is None:
                waiting.append(each)
            elif ran:
                yield each.stack
        seen = waiting
        sleep(_POLL if seen else 0)


class _Source:
    """One process. Raises Unreadable."""

    def __init__(self, slot: str, pid: int, idle: bool) -> None:
        self.slot, self.pid = slot, pid
        self.samples = self.missed = 0
        self.ended = False
        self._idle = idle
        self._unwinder = Unwinder(pid)
        self._threads = Threads(pid)

    def sample(self, alone: bool) -> list[_Seen]:
        """Return the stacks of the threads that run; none once the process has ended.

        `alone`: this process has the only processor, and those that could run may count.
        """
        found = self._threads.that_could_run()
        if found is None:
            self.ended = True
            return []
        self.samples += 1
        wanted = {tid: each for tid, each in found.items() if each.runs or alone}
        if not wanted and not self._idle:
            return []
        try:
            threads = self._unwinder.threads(1)
        except Unreadable:
            self.missed += 1
            changed = f"{self.slot};{_CHANGED}"
            return [_Seen(changed, tid, self._threads, self._before(each)) for tid, each in wanted.items()]
        return [
            _Seen(self._stack(thread), thread.tid, self._threads, self._before(wanted.get(thread.tid)))
            for thread in threads
            if thread.frames and (self._idle or thread.tid in wanted)
        ]

    def _before(self, standing: Standing | None) -> Figures | None:
        return None if self._idle or standing is None or standing.runs else standing.figures

    def _stack(self, thread: Thread) -> str:
        frames = [_text(frame) for frame in reversed(thread.frames) if not is_beneath(frame.filename)]
        return ";".join([self.slot, *frames])


def _text(frame: Frame) -> str:
    return f"{frame.function} ({frame.filename}:{frame.line})".replace(";", ",")
