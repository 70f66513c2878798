"""What a worker has been given: an order brought to life, under the handle that the application sees."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._linux import title
from .._linux.channel import Channel
from .._wire.messages import Busy, DrainBacklogs, ReplacementRequested
from .drain import Drain

if TYPE_CHECKING:
    from .._wire.scoreboard import Scoreboard
    from .drain import Drain


@dataclass(slots=True)  # Not frozen, as an order is not.
class Assignment:
    """One worker's place in the world.

    `listeners` are non-blocking, for the flag is shared with every other process that holds them.
    `report_ready` tells the master; calling it again does nothing. `request_replacement` asks it for a successor, with
    the reason; the worker serves on until it is told to drain. `report_busy` wakes a master that does not watch.
    `abandoned` returns the names of the listeners whose queues nobody takes over, as far as the master has said so.
    `row` is this worker's in `board`, -1 where it has none.
    """

    key: str
    generation: int
    listeners: dict[str, socket.socket]
    drain: Drain
    explicit_ready: bool
    report_ready: Callable[[], None]
    request_replacement: Callable[[str], None]
    report_busy: Callable[[], None] | None = None
    abandoned: Callable[[], frozenset[str]] = frozenset
    board: Scoreboard | None = None
    row: int = -1


class Reports:
    """One worker's. Plain methods and no closures: of those each newborn would make its own."""

    __slots__ = ("_abandoned", "_channel", "_drain", "_due", "_title")

    def __init__(self, channel: Channel, text: str, drain: Drain) -> None:
        self._channel = channel
        self._title = text
        self._drain = drain
        self._due = [True]
        self._abandoned: set[str] = set()

    def starting(self) -> None:
        """Show that this worker starts, and when it drains."""
        self._drain.on_notice = self._draining
        self._call_it("starting")

    def ready(self) -> None:
        """Tell that this worker can do its work; again, and nothing is told."""
        try:
            self._due.pop()  # Atomic: of several threads that come to their first wait one says it.
        except IndexError:
            return
        self._channel.say_ready()
        self._call_it("ready")

    def worn_out(self, reason: str) -> None:
        """Tell that a limit has been reached."""
        self._channel.tell(ReplacementRequested(reason))

    def busy(self) -> None:
        """Tell that there is something to do, where the master has said that it does not watch."""
        try:
            self._channel.send(Busy(), wait=False)
        except OSError:
            pass  # The master has gone, or has not read for long: it will look when it does.

    def abandoned(self) -> frozenset[str]:
        """Take in what the master has said since the order; it says it before the signal that makes anybody ask."""
        try:
            while (received := self._channel.receive(wait=False)) is not None:
                if isinstance(received.message, DrainBacklogs):
                    self._abandoned.update(received.message.listeners)
        except BlockingIOError:
            pass  # That was all.
        return frozenset(self._abandoned)

    def _call_it(self, state: str) -> None:
        title.show(self._title, state)
        if self._drain.noticed:  # Looked at after it: the signal may have come in between, and its handler was first.
            self._draining()

    def _draining(self) -> None:
        title.show(self._title, "draining")
