"""Orphans: workers of a dead master, ended after their grace."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from .roster import Roster, started_at

if TYPE_CHECKING:
    from ..loop import Master


class Orphans:
    """The processes of previous masters that still run, from the roster."""

    def __init__(self, roster: Roster, grace: float) -> None:
        self._grace = grace
        self.pids = roster.survivors()

    def start_grace(self, master: Master) -> None:
        """Let them serve for their grace, drain for as long again, and then kill them."""
        if self.pids:
            count = f"{len(self.pids)} worker{'s' * (len(self.pids) > 1)}"
            pids = ", ".join(map(str, self.pids))
            master.relay.log(
                f"orphans: found {count} of a previous master (pid {pids}); draining them in {self._grace:g} s"
            )
            master.later(self._grace, self.drain)
            master.later(2 * self._grace, lambda: self._end(master))

    def drain(self) -> None:
        """Drain them now."""
        self._send(signal.SIGTERM)

    def _end(self, master: Master) -> None:
        for pid in self._send(signal.SIGKILL):
            master.relay.log(f"orphans: killed a worker of a previous master that did not drain in time (pid {pid})")

    def _send(self, number: int) -> list[int]:
        return [pid for pid, started in self.pids.items() if started_at(pid) == started and _sent(pid, number)]


def _sent(pid: int, number: int) -> bool:
    """Send a signal, KILL to the whole session that a process leads; return whether it was delivered."""
    try:
        if number == signal.SIGKILL and os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False  # It is no child of this master: it may have ended since the check, or run as another user.
    return True
