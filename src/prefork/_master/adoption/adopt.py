"""Makes the workers of a dead master those of this one."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from ..._linux.drain_request import signals_for
from ..._report.forms import Origin
from ..births.processes import WorkerRole
from ..kept import board, sockets, workers
from ..log.capture import Ends
from .orphan_sockets import adopt

if TYPE_CHECKING:
    from ..executor import DaemonExecutor
    from ..loop import Master
    from ..parts import Parts
    from .found import Found

_LOOK = 1.0
"""Seconds between two looks at the sockets while workers that were not adopted may still close them to clients."""


def install(parts: Parts, found: Found) -> None:
    """Give the parts what the workers share with their master, before they are adopted. Raises OSError."""
    executor = parts.executor
    workers.restore_shared(executor, found.shared)
    for number in workers.numbers(found.shared):
        os.close(number)
    board.restore(executor.board, found.kept.board)
    parts.basis.runtime.roster.lifeline = found.lifeline
    sockets.restore(executor.listeners, found.listeners)
    executor.adopting = Adopting(parts.master, executor, found)
    executor._hangs._start_checks()
    parts.master.enqueue(found.survived)


class Adopting:
    """Carries out the order to adopt a worker."""

    def __init__(self, master: Master, executor: DaemonExecutor, found: Found) -> None:
        self._master, self._executor, self._found = master, executor, found
        self._end_lost_rows()
        keep_open(master, executor)

    def perform(self, pid: int) -> None:
        """Adopt a worker. One that does not answer any more is asked to drain; its end is seen in any case."""
        executor, worker = self._executor, self._found.kept.workers[pid]
        processes = executor._processes
        processes._roles[pid] = WorkerRole()
        executor._hangs.expect(pid, worker)
        self._capture(pid)
        if not self._master.exits.watch_other(pid, self._found.started[pid]):
            self._master.exits.ended_unseen(pid)
            return
        try:
            processes.channels.add_process(pid, adopt(pid, self._found.lifeline))
        except OSError as error:
            self._master.relay.log(
                f"{worker.key}: cannot be adopted (pid {pid}): {error.strerror or error}; draining it"
            )
            for number in (*signals_for(pid), signal.SIGCONT):
                self._master.exits.signal(pid, number)

    def _capture(self, pid: int) -> None:
        capture, pipes = self._executor._capture, self._found.captured.get(pid)
        if capture is None or pipes is None:
            return
        worker = self._found.kept.workers[pid]
        read = tuple(os.open(f"/proc/self/fd/{pipe}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) for pipe in pipes)
        for pipe in pipes:
            os.close(pipe)
        capture.listen(Origin(worker.key, pid, worker.generation), Ends(read, read))  # type: ignore[arg-type]  # Two.

    def _end_lost_rows(self) -> None:
        """Count what the workers have done that have ended, so that their rows are free."""
        living = {one.pid for one in self._found.survived.survivors}
        for pid in [pid for pid in self._executor.board._pids if pid not in living]:
            self._executor.board.end(pid, 1)


def keep_open(master: Master, executor: DaemonExecutor) -> None:
    """Admit connections again at sockets that an orphan, which was not adopted, has closed to them for its drain.

    It shares them with the workers that were. A client whose SYN is dropped meanwhile tries again after a second.
    """
    executor.listeners.admit_again()
    if len(executor._orphans):
        master.later(_LOOK, lambda: keep_open(master, executor))
