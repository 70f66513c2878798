"""What a change of the application's code asks for, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.commands import Reload
from ..._core.events import CommandReceived

if TYPE_CHECKING:
    from ..._core.actions import Announce
    from ..loop import Master

_MOST_IN_A_ROW = 4
"""Reloads, each for a change during the one before, after which such a change is dropped in any case."""


class Edits:
    """When changes of the code become reloads.

    A change during a reload supersedes it, so that the repair of code that hangs is not kept waiting. The next one
    waits for the end of that reload, so that reloads come to an end where each import writes a file; then it is dropped
    if the import has taken it up.
    """

    def __init__(self, master: Master) -> None:
        self._master = master
        self._under_way = self._waits = False
        self._row = 0  # changes in a row that came during a reload
        self.outdated: str | None = None

    def noticed(self) -> None:
        """Handle a change that the watcher has seen."""
        self._row = self._row + 1 if self._under_way else 0
        if self._row > 1:
            self._waits = True
        else:
            self._reload()

    def announced(self, change: Announce) -> None:
        """Handle the progress of a change of the daemon."""
        if change.what != "reload":
            return
        self._under_way = change.stage not in ("done", "failed")
        if self._waits and not self._under_way:
            self._waits = False
            if self._row <= _MOST_IN_A_ROW and (change.stage == "failed" or self.outdated != ""):
                self._reload()
            elif self._row == 2 or self._row == _MOST_IN_A_ROW + 1:
                self._master.relay.log("prefork: the import itself writes Python files: no reload for those")

    def _reload(self) -> None:
        self._master.enqueue(CommandReceived(0, Reload(), "the code watcher"))
