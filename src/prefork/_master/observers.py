"""A decider whose facts and orders are noted as they pass, told in the log, and shown to those who watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import time
from typing import TYPE_CHECKING

from .._core.actions import OrderWorker

if TYPE_CHECKING:
    from .._core.actions import Action
    from .._core.decider import Decider
    from .._core.events import Event
    from .._report.journal import Journal, Record
    from .log.log import Log


class Recorded:
    """Stands between the loop and its decider, and changes nothing of what they say to each other."""

    def __init__(
        self, decider: Decider, journal: Journal, log: Log, watchers: Sequence[Callable[[Sequence[Record]], object]]
    ) -> None:
        self._decider = decider
        self._journal = journal
        self._log = log
        self._watchers = watchers

    def handle(self, event: Event, now: float) -> Iterator[Action]:
        """See `Decider`. Orders come first: no worker waits until it is written down, told and shown that it starts."""
        actions = list(self._decider.handle(event, now))
        yield from (action for action in actions if isinstance(action, OrderWorker))
        records = self._journal.note(event, actions, now, time())
        if records:
            for watcher in self._watchers:
                watcher(records)
        self._log.note(records, actions)
        yield from (action for action in actions if not isinstance(action, OrderWorker))

    def next_deadline(self) -> float | None:
        """See `Decider`."""
        return self._decider.next_deadline()
