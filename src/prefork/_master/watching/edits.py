"""What a change of the application's code asks for, and when."""

from __future__ import annotations

import math
from time import time
from typing import TYPE_CHECKING

from ..._core.commands import Reload
from ..._core.events import CommandReceived

if TYPE_CHECKING:
    from ..._core.actions import Announce
    from ..loop import Master

_FEW, _MOST = 2, 5
"""Reloads for changes in a row that were written during an import, after which such a change is dropped: if the import
has taken it up, and in any case."""


class Edits:
    """When changes of the code become reloads.

    A change during a reload supersedes it, so that the repair of code that hangs is not kept waiting. After one during
    the import, the next such waits for the end of the reload, so that reloads come to an end where each import writes a
    file. What was written during imports only, several times in a row, is dropped if the last one has taken it up.
    """

    def __init__(self, master: Master) -> None:
        self._master = master
        self._under_way = self._importing = self._waits = self._told = False
        self._generation = 0  # of the latest reload
        self._row = 0  # changes in a row that were written during an import
        self._planned_at = -math.inf
        self._outdated: str | None = None

    def planned(self, generation: int, outdated: str | None) -> None:
        """Note the end of an import; see `Watchers.planned`. One that was superseded may still end: it is none."""
        if generation < self._generation:
            return
        self._planned_at, self._outdated, self._importing = time(), outdated, False

    def noticed(self, at: float) -> None:
        """Handle changes that the watcher has seen, the last of which was at this moment (time.time).

        When the notice comes says nothing: a busy machine may deliver it a second later.
        """
        imported = self._importing or at <= self._planned_at
        self._row = self._row + 1 if imported else 0
        if not self._row:
            self._told = False
        if self._under_way and self._row > 1:
            self._waits = True
        else:
            self._reload()

    def announced(self, change: Announce) -> None:
        """Handle the progress of a change of the daemon."""
        if change.what != "reload":
            return
        self._under_way = change.stage not in ("done", "failed")
        self._generation = max(self._generation, change.generation)
        self._importing = change.stage == "planning" or (self._importing and self._under_way)
        if self._waits and not self._under_way:
            self._waits = False
            self._reload(failed=change.stage == "failed")

    def _reload(self, failed: bool = False) -> None:
        taken_up = self._outdated == "" and not failed
        if self._row <= _FEW or (self._row <= _MOST and not taken_up):
            self._master.enqueue(CommandReceived(0, Reload(), "the code watcher"))
        elif not self._told:
            self._told = True
            self._master.relay.log("prefork: the import itself writes Python files: no reload for those")
