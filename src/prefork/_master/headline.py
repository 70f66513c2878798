"""The master's own title."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._report.journal import Record
    from .notify import HasHealth


class Headline:
    """Has the title written anew when something has happened that it tells: `4/4 ready`.

    To write it takes some microseconds, so it is done at once, 500 times in a burst of 500 births.
    """

    def __init__(self, show: Callable[[str], object], about: HasHealth) -> None:
        self._show = show
        self._about = about
        self._shown = ""

    def look(self, records: Sequence[Record]) -> None:
        """Something has happened."""
        now = self._about.standing()
        words = "stopping" if now.stopping else f"{now.ready}/{now.wanted} ready"
        if words != self._shown:
            self._shown = words
            self._show(words)
