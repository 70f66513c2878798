"""What a stop waits for, logged once where it takes longer than a moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..._core.events import CommandReceived, SignalReceived
from ..._report.banner import waiting_for

if TYPE_CHECKING:
    from ..._core.actions import Action
    from ..._core.events import Event
    from ..loop import Master
    from ..service.notify import HasHealth

_MOMENT = 0.6
"""Seconds after which a stop that is not over is explained: idle workers end in less."""

Living = Callable[[], dict[str, int]]
"""Returns the slots that have a process, with the number of their requests in flight."""


class Farewell:
    """Logs the requests, or else the workers, that a stop waits for; not where the daemon has failed."""

    def __init__(self, master: Master, about: HasHealth, living: Living) -> None:
        self._master = master
        self._about = about
        self._living = living
        self._stopping = False

    def noted(self, event: Event, actions: Sequence[Action], now: float) -> None:
        """See `Observer`."""
        asked = isinstance(event, SignalReceived | CommandReceived)
        if asked and not self._stopping and self._about.health().stopping:
            self._stopping = True
            by_key = isinstance(event, SignalReceived) and event.name == "INT"
            self._master.later(_MOMENT, lambda: self._explain(by_key))

    def done(self, now: float) -> None:
        """See `Observer`."""

    def _explain(self, by_key: bool) -> None:
        if text := waiting_for(self._living()):
            self._master.relay.log(f"prefork: {text}" + ("; Ctrl-C again to stop now" if by_key else ""))
