"""The master's own title, and when it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._core.journal import Record
    from .master import Master

_PAUSE = 0.1
"""Seconds between what happens and the title that shows it: of a burst of births it shows what came of it."""


class Headline:
    """Has the title written anew when `words` have changed, and looks at them when something has happened."""

    def __init__(self, master: Master, show: Callable[[str], object], words: Callable[[], str]) -> None:
        self._master = master
        self._show = show
        self._words = words
        self._shown = ""
        self._due = False

    def stir(self, records: Sequence[Record]) -> None:
        """Take note that something has happened."""
        if not self._due:
            self._due = True
            self._master.later(_PAUSE, self._write)

    def _write(self) -> None:
        self._due = False
        words = self._words()
        if words != self._shown:
            self._shown = words
            self._show(words)
