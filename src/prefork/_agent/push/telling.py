"""Follows the daemon's records, and tells what they end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from threading import Event as Flag
from threading import Thread

from ..._errors import PreforkError
from ...client import Event
from ..source import Source
from ..story.orders import Orders
from ..story.story import Span, Story
from ..story.turn import Turn

_LATE = 1.0
"""Seconds that the record of a drain may come after the drain itself."""
_AGAIN = 5.0
"""Seconds until the records are asked for again, where that has failed."""


class Teller:
    """Calls `tell` in a thread of its own, with each span that this agent, in `slot`, is to tell."""

    def __init__(self, source: Source, slot: str, tell: Callable[[Span], None]) -> None:
        self._source, self._slot, self._tell = source, slot, tell
        self._over = Flag()
        self._number = 0
        """Of the last record that was read."""
        self._story, self._orders = Story(slot), Orders()
        self._turn: Turn | None = None
        Thread(target=self._follow, name="follow records", daemon=True).start()

    def wait(self) -> None:
        """Wait until the turn of this agent is over: it has been asked to drain."""
        self._over.wait(_LATE)

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                self._read()
            except PreforkError:
                pass  # The master has ended, and so does this agent; or it does not answer now.
            self._over.wait(_AGAIN)

    def _read(self) -> None:
        turn = self._turn = self._turn or Turn(self._slot, os.getpid(), Orders().whole(self._source.events()))
        for record in self._orders.whole(self._new()):
            turn.read(record)
            for span in self._story.tell(record):
                if turn.has(record):
                    self._tell(span)
            if turn.is_over:
                self._over.set()
                return

    def _new(self) -> Iterator[Event]:
        """Yield the records that have not been read yet, and each new one."""
        for record in self._source.events(follow=True):
            if record.get("number", 0) > self._number:  # `lost` has none.
                self._number = record["number"]
                yield record
