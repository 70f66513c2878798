"""The watch for workers that hang: when to look, what is seen, and what is found out about one before it is told.

`_core.hang_watch` says when one counts as hung, `_core.verdicts` what it is; `proc` and `dumps` find it out. Nothing is
waited for: all goes on in the master's loop, by deadlines.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..._core import events as fact
from ..._core.hang_watch import SHARE, HangDetector, Sign
from ..._core.verdicts import Evidence, Hang, living, verdict
from ..._report.hang_report import details, report
from ..._wire import messages
from . import proc
from .dumps import Dumps

if TYPE_CHECKING:
    from ..births.channels import HangMessage
    from ..board import Board
    from ..loop import Master

_STOOD_STILL = 1.0
"""Seconds by which a look has to be late, at least, to be told of."""

_SPAN = 0.2
"""Seconds over which it is seen what the threads of one use about whom somebody asks."""

Found = Callable[[Evidence, str], None]
"""Is told what has been found out about a worker, and its stacks."""

_STOPS = os.WSTOPPED | os.WCONTINUED | os.WNOHANG


@dataclass(frozen=True, slots=True)
class WatchedWorker:
    """A worker; `kills`: whether it is to be killed when it hangs `patience` seconds (0: it never counts as hung)."""

    key: str
    generation: int
    patience: float
    kills: bool


class Hangs:
    """The workers of one daemon. Raises OSError where there is no memory for their stacks."""

    def __init__(self, master: Master, board: Board, note: Callable[[int, str, str], None]) -> None:
        """`note(pid, what, text)` keeps what is found out about one that hangs."""
        self._master = master
        self._board = board
        self._note = note
        self.dumps = Dumps(master, board)
        self._detector = HangDetector(self._waited, watching=False)
        self._workers: dict[int, WatchedWorker] = {}
        self._stopped: dict[int, float] = {}
        self._samples: dict[int, tuple[float, proc.Sample]] = {}  # of those that have been busy for long
        self._due: float | None = None
        self._slept = _slept()

    def close(self) -> None:
        """Watch no more."""
        self._due = None
        self.dumps.close()

    def expect(self, pid: int, worker: WatchedWorker) -> None:
        """A process is to become this worker."""
        self._workers[pid] = worker

    def ended(self, pid: int) -> WatchedWorker | None:
        """A process has ended; return which worker it was, if it was one."""
        worker = self._workers.pop(pid, None)
        self._stopped.pop(pid, None)
        self._samples.pop(pid, None)
        self._detector.starved.discard(pid)
        self.dumps.ended(pid)
        return worker

    def handle(self, told: HangMessage) -> None:
        """A worker has told something."""
        match told.message:
            case messages.StacksWritten():
                self.dumps.answered(told.pid)
            case messages.Busy():
                self._watch()

    def poll_stopped(self) -> None:
        """SIGCHLD came: see who has been stopped, or continued; nobody else waits for that."""
        while (pid_code := _stop()) is not None:
            pid, stopped, number = pid_code
            if pid not in self._workers:
                continue
            if stopped:
                self._stopped[pid] = monotonic()
                self._master.tell(fact.WorkerStopped(pid, number, self._workers[pid].patience))
                self._watch()
            elif self._stopped.pop(pid, None) is not None:
                self._master.tell(fact.WorkerContinued(pid))

    # Looking.

    def _watch(self) -> None:
        """Somebody has something to do."""
        least = min((worker.patience for worker in self._workers.values() if worker.patience), default=0.0)
        if least and not self._detector.watching:
            self._detector.watching = True
            self._board.watch(True)
            self._look_at(monotonic() + least / SHARE)

    def _look_at(self, due: float) -> None:
        if self._due is None or due < self._due:
            self._due = due
            self._master.later(due - monotonic(), lambda: self._look(due))

    def _look(self, due: float) -> None:
        if due != self._due:
            return  # It has been put forward since.
        now, self._due = monotonic(), None
        late = max(0.0, now - due)
        self._tell_of_sleep(late)
        signs = [Sign(pid, self._since(pid, now), worker.patience) for pid, worker in self._workers.items()]
        look = self._detector.look([sign for sign in signs if sign.patience], now, late)
        self._board.watch(look.watching)
        if look.next is not None:
            self._look_at(look.next)
        for pid in look.hung:
            self._found_hung(pid, now)
        for pid in look.starved:
            self._master.tell(fact.WorkerStarved(pid, round(now - self._since(pid, now), 1)))

    def _since(self, pid: int, now: float) -> float:
        """Since when it has been doing what it does; 0.0 where it is idle."""
        if pid in self._stopped:
            return self._stopped[pid]
        beat, busy_since = self._board.beat(pid) or (0.0, 0.0)
        since = busy_since if beat == 0.0 else beat
        return since if 0.0 < since <= now else 0.0

    def _waited(self, pid: int) -> float:
        """Seconds that it has waited for a processor. The first time, note what is to be compared with later."""
        since = self._since(pid, monotonic())
        if self._samples.get(pid, (0.0, None))[0] != since:
            self._samples[pid] = since, proc.sample(pid)
        return proc.waited(pid, main=self._has_loop(pid))

    def _has_loop(self, pid: int) -> bool:
        return (self._board.beat(pid) or (0.0, 0.0))[0] != 0.0

    def _tell_of_sleep(self, late: float) -> None:
        before, self._slept = self._slept, _slept()
        still = max(late, self._slept - before)
        if still >= _STOOD_STILL:
            self._master.tell(fact.MachineSlept(round(still, 1)))

    # Finding out.

    def _found_hung(self, pid: int, now: float) -> None:
        worker, since = self._workers[pid], self._since(pid, now)
        doing = self._board.doing(pid)
        excused = self._detector.periods[pid].excused

        def tell(seen: Evidence, stacks: str) -> None:
            if self._workers.get(pid) is not worker:
                return
            over = self._since(pid, monotonic()) != since
            who = f"{worker.key} (pid {pid}, generation {worker.generation})"
            hang = Hang(who, doing, now - since, excused)
            kind = verdict(seen)
            text = report(hang, kind, seen, stacks)
            if not over:
                self._note(pid, "hang", text)
            self._master.tell(fact.WorkerHung(pid, kind, hang, text, over))

        self._find_out(pid, self._samples.get(pid, (0.0, None))[1], tell, force=worker.kills)

    def inspect(self, slot: str, force: bool, then: Callable[[list[dict[str, Any]]], None]) -> None:
        """Tell `then` what the workers of a slot are doing, or all (an empty slot), and where their threads are."""
        pids = [
            pid
            for pid, worker in self._workers.items()
            if slot in ("", worker.key) and self._board.beat(pid) is not None
        ]
        before = {pid: proc.sample(pid) for pid in pids}
        found: list[dict[str, Any]] = []

        def next_one() -> None:
            while pids and pids[-1] not in self._workers:
                pids.pop()
            if pids:
                pid = pids.pop()
                # Now: to be asked is something to do.
                busy = self._busy(pid)
                self._find_out(pid, before[pid], lambda seen, stacks: tell(pid, busy, (seen, stacks)), force=force)
            else:
                then(found)

        def tell(pid: int, busy: float, seen: tuple[Evidence, str]) -> None:
            if (worker := self._workers.get(pid)) is not None:
                found.append(self._described(pid, worker, busy, seen))
            next_one()

        pids.reverse()
        self._master.later(_SPAN if pids else 0, next_one)

    def _busy(self, pid: int) -> float:
        """Seconds without getting on; 0.0 where it is idle."""
        now = monotonic()
        since = self._since(pid, now)
        return round(now - since, 3) if since else 0.0

    def _described(self, pid: int, worker: WatchedWorker, busy: float, found: tuple[Evidence, str]) -> dict[str, Any]:
        seen, stacks = found
        doing = self._board.doing(pid)
        return {
            "slot": worker.key,
            "pid": pid,
            "generation": worker.generation,
            "verdict": living(seen, doing, busy, worker.patience),
            "doing": doing,
            "busy_for": busy,
            "text": details(seen, stacks),
        }

    def _find_out(self, pid: int, before: proc.Sample | None, then: Found, *, force: bool) -> None:
        after = proc.sample(pid)
        loop = self._has_loop(pid)

        def found(stacks: str, answered: bool) -> None:
            then(proc.evidence(before, after, loop=loop, answered=answered), stacks)

        if pid in after.threads and after.threads[pid].state in "Tt":
            found("", False)  # It would write them when it goes on.
        else:
            self.dumps.ask(pid, found, force=force)


def _slept() -> float:
    """Seconds that this machine has been asleep since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def _stop() -> tuple[int, bool, int] | None:
    """The next child that has been stopped (True) or continued, and by which signal."""
    try:
        found = os.waitid(os.P_ALL, 0, _STOPS)
    except ChildProcessError:
        return None
    if found is None:
        return None
    return found.si_pid, found.si_code != os.CLD_CONTINUED, found.si_status
