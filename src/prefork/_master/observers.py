"""Observers of the loop: journal, log, clients, title, banner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time
from typing import TYPE_CHECKING

from .._core.events import MoldPlanned

if TYPE_CHECKING:
    from .._core.actions import Action
    from .._core.events import Event
    from .._core.plan import Listener
    from .._report.banner import Welcome
    from .._report.journal import Journal
    from .control.server import Control
    from .log.log import Log
    from .relay import Relay
    from .service.notify import HasHealth


class Recorder:
    """Records each event and its actions, and passes the records to clients and the log."""

    def __init__(self, journal: Journal, control: Control, log: Log) -> None:
        self._journal = journal
        self._control = control
        self._log = log

    def noted(self, event: Event, actions: Sequence[Action], now: float) -> None:
        """See `Observer`."""
        notes = self._journal.note(event, actions, now, time())
        if notes.records:
            self._control.publish(notes.records)
        self._log.note(notes, actions)

    def done(self, now: float) -> None:
        """See `Observer`."""
        self._log.done()


class Headline:
    """Writes the master's title when it changes: `4/4 ready`.

    That takes some microseconds, so it is done at once, 500 times in a burst of 500 forks.
    """

    def __init__(self, show: Callable[[str], object], about: HasHealth) -> None:
        self._show = show
        self._about = about
        self._shown = ""

    def noted(self, event: Event, actions: Sequence[Action], now: float) -> None:
        """See `Observer`."""
        health = self._about.health()
        words = "stopping" if health.stopping else f"{health.ready}/{health.wanted} ready"
        if words != self._shown:
            self._shown = words
            self._show(words)

    def done(self, now: float) -> None:
        """See `Observer`."""


class Banner:
    """Logs the banner when every worker of the first plan is ready. `address_of` returns the actual one."""

    def __init__(
        self,
        welcome: Welcome,
        about: HasHealth,
        address_of: Callable[[Listener], str],
        relay: Relay,
    ) -> None:
        self._welcome = welcome
        self._about = about
        self._address_of = address_of
        self._relay = relay

    def noted(self, event: Event, actions: Sequence[Action], now: float) -> None:
        """See `Observer`."""
        if isinstance(event, MoldPlanned):
            self._welcome.planned(event.plan, event.about)

    def done(self, now: float) -> None:
        """See `Observer`."""
        if self._welcome.due:
            health = self._about.health()
            if health.generation and health.ready == health.wanted and not health.stopping:
                text = self._welcome.text([*map(self._address_of, self._welcome.listeners)], now)
                if self._welcome.is_block:
                    self._relay.write(f"{text}\n".encode())  # A time before it would break its columns.
                else:
                    self._relay.log(text)
