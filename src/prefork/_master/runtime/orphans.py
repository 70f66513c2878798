"""Workers of dead masters of this same daemon, found by a successor: they have their grace, and no more."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from .roster import Roster, started_at

if TYPE_CHECKING:
    from ..loop import Master


class Orphans:
    """The predecessors' processes that still live, as the roster names them."""

    def __init__(self, roster: Roster, grace: float) -> None:
        self._grace = grace
        self.pids = roster.survivors()

    def start_grace(self, master: Master) -> None:
        """Let them serve for the grace that they were promised, drain for as long again, and then end them."""
        if self.pids:
            pids = ", ".join(map(str, self.pids))
            master.relay.say(
                f"prefork: a former master has left processes: {pids}; they have {self._grace:g} s of grace"
            )
            master.later(self._grace, self.drain)
            master.later(2 * self._grace, lambda: self._end(master))

    def drain(self) -> None:
        """Let them drain now."""
        self._send(signal.SIGTERM)

    def _end(self, master: Master) -> None:
        for pid in self._send(signal.SIGKILL):
            master.relay.say(f"prefork: ended process {pid}, which a former master had left past its grace")

    def _send(self, number: int) -> list[int]:
        return [pid for pid, started in self.pids.items() if started_at(pid) == started and _sent(pid, number)]


def _sent(pid: int, number: int) -> bool:
    """Send a signal, and KILL to the whole session that a process leads; tell whether it was there to have it."""
    try:
        if number == signal.SIGKILL and os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False  # It is nobody's child here: it may have ended since the look, or have become another user's.
    return True
