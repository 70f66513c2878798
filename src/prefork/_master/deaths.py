"""The ends of a daemon's processes: reasons, and crash reports."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from .._core import events as fact
from .._linux.signals import NAMES
from .._records.record import record
from .._report.sentences import ended
from .births.processes import HelperRole, MoldRole, Role, WatcherRole, WorkerRole
from .hangs.crashes import Crash, Crashes
from .hangs.evidence.oom import OomCounter

if TYPE_CHECKING:
    from .births.channels import Fact
    from .births.processes import Processes
    from .hangs.watch import Hangs
    from .listeners.opened import Listeners
    from .log.capture import Capture
    from .loop import Master
    from .scoreboard.board import Board
    from .watching.watchers import Watchers


@record
class Keepers:
    """The parts that keep something about each process. `capture`: None if output is not captured."""

    listeners: Listeners
    board: Board
    hangs: Hangs
    crashes: Crashes
    watchers: Watchers
    capture: Capture | None


class Deaths:
    """Turns what the loop has reaped into `WorkerEnded` and `MoldEnded`, after all messages of the process."""

    def __init__(self, master: Master, processes: Processes, keepers: Keepers, receive: Callable[[Fact], None]) -> None:
        """`receive` is called with each message of a process."""
        self._master = master
        self._processes = processes
        self._keepers = keepers
        self._receive = receive
        self._oom = OomCounter()

    def close(self) -> None:
        """Close the kernel's out-of-memory counter."""
        self._oom.close()

    def reaped(self, exits: tuple[fact.ProcessExit, ...]) -> None:
        """Enqueue the ends of processes."""
        out_of_memory = any(end.status == -signal.SIGKILL for end in exits) and self._oom.grown()
        for end in exits:
            role = self._processes.reaped(end.pid)
            reason = self._reason(end, out_of_memory)
            self._finish(end, reason)
            self._enqueue_end(end, role, reason)

    def _enqueue_end(self, end: fact.ProcessExit, role: Role | None, reason: str) -> None:
        keepers = self._keepers
        match role:
            case MoldRole(generation):
                for message in self._processes.channels.finish_mold(generation):
                    self._receive(message)
                self._master.enqueue(fact.MoldEnded(generation, reason))
            case WorkerRole():
                keepers.listeners.worker_ended(end.pid)
                status = end.status if end.status is not None else 1
                worked, doing = keepers.board.has_worked(end.pid), keepers.board.request(end.pid)
                keepers.board.end(end.pid, status)
                self._master.enqueue(fact.WorkerEnded(end.pid, status, reason, worked, doing))
            case WatcherRole():
                keepers.watchers.ended(end.pid, reason)
            case HelperRole() | None:
                pass
            case _:
                assert_never(role)

    def _finish(self, end: fact.ProcessExit, reason: str) -> None:
        """Read the last messages of a process; write a crash report of a worker that has failed."""
        keepers = self._keepers
        crash, worker = None, keepers.hangs.ended(end.pid)
        if worker is not None and end.status != 0:
            output = [] if keepers.capture is None else keepers.capture.last_lines(end.pid)
            crash = Crash(worker.key, worker.generation, reason, keepers.board.doing(end.pid), output)
        for message in self._processes.channels.finish(end.pid):
            self._receive(message)
        keepers.crashes.ended(end, crash)
        if keepers.capture is not None:
            keepers.capture.ended(end.pid)

    def _reason(self, end: fact.ProcessExit, out_of_memory: bool) -> str:
        why = self._processes.killed.pop(end.pid, None)
        if why is not None and end.status == -signal.SIGKILL:
            return f"killed by the master: {why}"
        if out_of_memory and end.status == -signal.SIGKILL:
            return "killed by SIGKILL: out of memory (kernel OOM counter)"
        return ended(end.status, NAMES)
