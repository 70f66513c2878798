"""The hang watch: when to check workers, and how to inspect a hung one.

`_core.watch.hang_watch` says when a worker counts as hung, `_core.watch.verdicts` what kind of hang it is; `proc` and
`dumps` read the evidence. Nothing here waits: each step is a deadline in the master's loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..._core import events as fact
from ..._core.profiling.slowness import Standing
from ..._core.watch.hang_watch import EXTRA, SHARE, HangDetector, Progress, Sign
from ..._core.watch.verdicts import Evidence, Hang, Verdict, current_activity, verdict
from ..._records.members import replace
from ..._records.record import record
from ..._report.reports.hang_report import details, report
from ..._wire import messages
from .dumps import Dump, Dumps
from .evidence import proc
from .imports import Imports

if TYPE_CHECKING:
    from ..births.channels import OtherMessage
    from ..loop import Master
    from ..scoreboard.board import Board

_SUSPENDED = 1.0
"""Seconds by which a check is late, at least, before the log mentions it."""

_SPAN = 0.2
"""Seconds over which the CPU use of threads is measured for `prefork stacks`."""

_MOMENTS = 0.7
"""Seconds after which a worker is killed that has not written its stacks."""

Inspected = Callable[[Evidence, str], None]
"""Called with the evidence about a worker, and its stacks."""

_STOPS = os.WSTOPPED | os.WCONTINUED | os.WNOHANG


@record
class WatchedWorker:
    """A worker that hangs after `patience` seconds without progress (0: never); `kills`: then it is killed."""

    key: str
    generation: int
    patience: float
    kills: bool


class Hangs:
    """The hang watch of one daemon. Raises OSError if there is no memory for the stacks."""

    def __init__(self, master: Master, board: Board, note: Callable[[int, str, str], None]) -> None:
        """`note(pid, what, text)` keeps the report on a worker that hangs."""
        self._master = master
        self._board = board
        self._note = note
        self.dumps = Dumps(master, board)
        self.imports = Imports(master, self.dumps)
        self._detector = HangDetector(self._waited, watching=False)
        self._workers: dict[int, WatchedWorker] = {}
        self._stopped: dict[int, float] = {}
        self._samples: dict[int, tuple[float, proc.Sample]] = {}  # of those that have been busy for long
        self._due: float | None = None
        self._explained: list[str] = []  # the frames of the worker that was explained last
        self._asleep = _seconds_asleep()
        self.woken: Callable[[], None] | None = None
        """Called when the checks begin."""

    def close(self) -> None:
        """Stop checking."""
        self._due = None
        self.dumps.close()

    def expect(self, pid: int, worker: WatchedWorker) -> None:
        """Note that a process becomes this worker."""
        self._workers[pid] = worker

    def pids_of(self, which: str) -> dict[str, int]:
        """Return the newest ready worker of a slot, or those of a pool, by slot."""
        keys = {pid: worker.key for pid, worker in self._workers.items() if self._board.progress(pid) is not None}
        return {key: pid for pid, key in keys.items() if key == which or key.rpartition("/")[0] == which}

    @property
    def watching(self) -> bool:
        """Whether some worker is busy, so that all are checked."""
        return self._detector.watching

    def patiences(self) -> set[float]:
        """Return the seconds after which the workers count as hung."""
        return {worker.patience for worker in self._workers.values()}

    def standing(self, now: float) -> list[Standing]:
        """Return since when each worker has made no progress."""
        return [Standing(pid, self._progress(pid).since(now), worker.patience) for pid, worker in self._workers.items()]

    def key_of(self, pid: int) -> str:
        """Return the slot of a worker."""
        return self._workers[pid].key

    def ended(self, pid: int) -> WatchedWorker | None:
        """Remove a process that ended; return its worker, if it was one."""
        worker = self._workers.pop(pid, None)
        self._stopped.pop(pid, None)
        self._samples.pop(pid, None)
        self._detector.ended(pid)
        self.dumps.ended(pid)
        return worker

    def handle(self, sent: OtherMessage) -> None:
        """Handle a worker's message."""
        match sent.message:
            case messages.StacksWritten(working):
                self.dumps.answered(sent.pid, working)
            case messages.Busy():
                self._start_checks()

    def poll_stopped(self, other: Callable[[int, bool], None]) -> None:
        """Report what was stopped (True) or continued: workers, and to `other` the rest. To be called on SIGCHLD."""
        while (change := _next_stop()) is not None:
            pid, stopped, number = change
            if pid not in self._workers:
                other(pid, stopped)
            elif stopped:
                self._stopped[pid] = monotonic()
                self._master.enqueue(fact.WorkerStopped(pid, number, self._workers[pid].patience))
                self._start_checks()
            elif self._stopped.pop(pid, None) is not None:
                self._master.enqueue(fact.WorkerContinued(pid))

    # Checks.

    def _start_checks(self) -> None:
        """Begin to check, since a worker is busy."""
        least = min((worker.patience for worker in self._workers.values() if worker.patience), default=0.0)
        if least and not self._detector.watching:
            self._detector.watching = True
            self._board.watch(True)
            self._check_at(monotonic() + least / SHARE)
            if self.woken is not None:
                self.woken()

    def _check_at(self, due: float) -> None:
        if self._due is None or due < self._due:
            self._due = due
            self._master.later(due - monotonic(), lambda: self._check(due))

    def _check(self, due: float) -> None:
        if due != self._due:
            return  # An earlier check has replaced this one.
        now, self._due = monotonic(), None
        late = max(0.0, now - due)
        self._report_suspension(late)
        signs = [self._sign(pid, worker, now) for pid, worker in self._workers.items() if worker.patience]
        result = self._detector.check(signs, now, late)
        self._board.watch(result.watching)
        if result.next is not None:
            self._check_at(result.next)
        for pid in (*result.hung, *result.stuck):
            self._inspect_hung(pid, now)
        for pid in result.starved:
            self._master.enqueue(fact.WorkerStarved(pid, round(now - self._since(pid, now), 1)))

    def _since(self, pid: int, now: float) -> float:
        """Return since when a worker has made no progress; 0.0 if it is idle."""
        if pid in self._stopped:
            return self._stopped[pid]
        return self._progress(pid).since(now)

    def _sign(self, pid: int, worker: WatchedWorker, now: float) -> Sign:
        free = pid not in self._stopped and self._progress(pid).free > 0
        return Sign(pid, self._since(pid, now), worker.patience, free)

    def _progress(self, pid: int) -> Progress:
        return self._board.progress(pid) or Progress()

    def _waited(self, pid: int) -> float:
        """Return the seconds that a worker has waited in the run queue; take its first sample, to compare with."""
        since = self._since(pid, monotonic())
        if self._samples.get(pid, (0.0, None))[0] != since:
            self._samples[pid] = since, proc.sample(pid)
        return proc.waited(pid, main=self._progress(pid).has_loop)

    def _report_suspension(self, late: float) -> None:
        before, self._asleep = self._asleep, _seconds_asleep()
        suspended = max(late, self._asleep - before)
        if suspended >= _SUSPENDED:
            self._master.enqueue(fact.MachineSlept(round(suspended, 1)))

    # Inspection.

    def _inspect_hung(self, pid: int, now: float) -> None:
        worker, since = self._workers[pid], self._since(pid, now)
        free = 0 if pid in self._stopped else self._progress(pid).free
        excused = self._detector.periods[pid].excused
        self._examine(
            Hang(worker.key, pid, worker.generation, self._board.stuck_in(pid), now - since, excused, free), since
        )

    def _examine(self, hang: Hang, since: float, free: int = 0) -> None:
        """Inspect and report a worker. `free`: how many threads of one are, that has once not answered all the same."""
        pid, worker = hang.pid, self._workers[hang.pid]

        def inspected(evidence: Evidence, stacks: str) -> None:
            if self._workers.get(pid) is not worker:
                return
            over = self._since(pid, monotonic()) != since
            if hang.free and evidence.contended and not over:  # The free threads cannot run Python code, either.
                self._examine(replace(hang, free=0), since, hang.free)
            elif evidence.answered:
                self._report(replace(hang, free=hang.free or free), evidence, stacks, over)
            elif over or not hang.free or not self._detector.retry(pid):
                self._report(hang, evidence, stacks, over)

        before = self._samples.get(pid, (0.0, None))[1]
        self._inspect_one(pid, before, inspected, force=worker.kills and not hang.free)

    def _report(self, hang: Hang, evidence: Evidence, stacks: str, over: bool) -> None:
        """Report what has been found out; `over`: the worker has made progress meanwhile."""
        pid, kind, worker = hang.pid, verdict(evidence), self._workers[hang.pid]
        more = EXTRA * worker.patience
        if hang.free and over:
            return
        if hang.free:
            text = report(hang, kind, evidence, stacks, f"not killed, since {_are_free(hang.free)}")
            self._master.enqueue(fact.WorkerStuck(pid, kind, hang, text))
        elif not over and self._may_compute(pid, kind) and self._detector.extend(pid, more):
            text = report(hang, kind, evidence, stacks, f"killing it in {more:g} s unless a request makes progress")
            self._master.enqueue(fact.WorkerStuck(pid, kind, hang, text))
        else:
            text = report(hang, kind, evidence, stacks, _next_step(worker, over))
            if not over:
                self._note(pid, "hang", text)
            self._master.enqueue(fact.WorkerHung(pid, kind, hang, text, over))

    def _may_compute(self, pid: int, kind: Verdict) -> bool:
        """Return whether a worker of a known number of threads computes in them, and would be killed for it."""
        return kind == "computing" and self._progress(pid).threads > 0 and self._workers[pid].kills

    def inspect(self, slot: str, force: bool, then: Callable[[list[dict[str, Any]]], None]) -> None:
        """Call `then` with what the workers of a slot do, or all workers (an empty slot), and their stacks.

        With all workers come the molds that still import.
        """
        pids = [
            pid
            for pid, worker in self._workers.items()
            if slot in ("", worker.key) and self._board.progress(pid) is not None
        ]
        before = {pid: proc.sample(pid) for pid in pids}
        found: list[dict[str, Any]] = []

        def next_one() -> None:
            while pids and pids[-1] not in self._workers:
                pids.pop()
            if pids:
                pid = pids.pop()
                # Read before the dump, which makes the worker busy.
                busy = self._busy(pid)
                self._inspect_one(pid, before[pid], lambda seen, stacks: add(pid, busy, (seen, stacks)), force=force)
            elif slot:
                then(found)
            else:
                self.imports.inspect(lambda molds: then([*molds, *found]))

        def add(pid: int, busy: float, inspected: tuple[Evidence, str]) -> None:
            if (worker := self._workers.get(pid)) is not None:
                found.append(self._described(pid, worker, busy, inspected))
            next_one()

        pids.reverse()
        self._master.later(_SPAN if pids else 0, next_one)

    def explain(self, pid: int, why: str, then: Callable[[], None]) -> None:
        """Log the stacks of a worker that does not become ready, if they come within moments; then call `then`, once.

        Workers that hang alike are explained once.
        """
        worker, waiting = self._workers.get(pid), [then]

        def dumped(dump: Dump) -> None:
            if not waiting or worker is None or self._workers.get(pid) is not worker:
                return
            frames = [line for line in dump.stacks.splitlines() if line.lstrip().startswith("File ")]
            if frames and frames != self._explained:
                self._explained = frames
                text = "\n".join(f"  {line}" for line in dump.stacks.splitlines())
                self._master.relay.log(f"{worker.key}: {why} (pid {pid}); its stacks:\n{text}")
            waiting.pop()()

        self._master.later(_MOMENTS, lambda: dumped(Dump("", False)))
        self.dumps.request(pid, dumped, force=True)

    def _busy(self, pid: int) -> float:
        """Return the seconds without progress; 0.0 if the worker is idle."""
        now = monotonic()
        since = self._since(pid, now)
        return round(now - since, 3) if since else 0.0

    def _described(
        self, pid: int, worker: WatchedWorker, busy: float, inspected: tuple[Evidence, str]
    ) -> dict[str, Any]:
        evidence, stacks = inspected
        doing = self._board.stuck_in(pid)
        return {
            "slot": worker.key,
            "pid": pid,
            "generation": worker.generation,
            "verdict": current_activity(evidence, doing, busy, worker.patience),
            "doing": doing,
            "busy_for": busy,
            "text": details(evidence, stacks),
        }

    def _inspect_one(self, pid: int, before: proc.Sample | None, then: Inspected, *, force: bool) -> None:
        after = proc.sample(pid)
        loop, native_threads = self._progress(pid).has_loop, self._board.native_threads(pid)

        def dumped(dump: Dump) -> None:
            evidence = Evidence(
                loop,
                dump.answered,
                after.tracer,
                proc.threads(before, after),
                frozenset(dump.working),
                contended=not dump.answered and (dump.contended or proc.contended(pid, after, proc.sample(pid))),
                native_threads=native_threads,
                gil=dump.gil,
                unread=dump.unread,
            )
            then(evidence, dump.stacks)

        if pid in after.threads and after.threads[pid].state in "Tt":
            self.dumps.read(pid, dumped)  # A stopped process writes its stacks only once it is continued.
        else:
            self.dumps.request(pid, dumped, force=force)


def _are_free(count: int) -> str:
    return f"{count} other thread{'s are' if count > 1 else ' is'} free"


def _next_step(worker: WatchedWorker, over: bool) -> str:
    """Return what happens to a worker that hung, for its report."""
    if over:
        return "recovered meanwhile, not killed"
    return "killing it" if worker.kills else "not killed (hang_policy report)"


def _seconds_asleep() -> float:
    """Return the seconds that this machine has been suspended since it booted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def _next_stop() -> tuple[int, bool, int] | None:
    """Return the next child that was stopped (True) or continued, and the signal that did it."""
    try:
        found = os.waitid(os.P_ALL, 0, _STOPS)
    except ChildProcessError:
        return None
    if found is None:
        return None
    return found.si_pid, found.si_code != os.CLD_CONTINUED, found.si_status
