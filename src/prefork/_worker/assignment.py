"""What a worker is given with its order, and its reports to the master; the handle wraps both."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._linux import title
from .._linux.channel import Channel
from .._wire.messages import Busy, CutDrain, DrainBacklogs, ReplacementRequested
from .draining.drain import Drain

if TYPE_CHECKING:
    from .._wire.messages import Message
    from .._wire.scoreboard import Scoreboard


@dataclass(slots=True)  # Not frozen, as an order is not.
class Assignment:
    """What one worker is to be, and how it reports to the master.

    `listeners` are non-blocking: the flag is shared with every other process that holds them. `report_ready` may be
    called again and then does nothing. `send` sends any other message of a worker; where the master has ended it does
    nothing. `report_busy` wakes a master that does not watch for hangs. `backlogs_to_drain`
    returns the names of the listeners that no other worker will accept from, as far as the master has sent them. `row`
    is this worker's in `board`, -1 where it has none. `files`: descriptors of what the master has read, by option.
    """

    key: str
    generation: int
    listeners: dict[str, socket.socket]
    drain: Drain
    explicit_ready: bool
    report_ready: Callable[[], None]
    send: Callable[[Message], object]
    report_busy: Callable[[], None] | None = None
    backlogs_to_drain: Callable[[], frozenset[str]] = frozenset
    board: Scoreboard | None = None
    row: int = -1
    files: dict[str, int] = field(default_factory=dict)


class Reports:
    """One worker's reports to the master. Methods and no closures: each newborn would make those in private memory."""

    __slots__ = ("_backlogs", "_channel", "_drain", "_due", "_title", "_wanted")

    def __init__(self, channel: Channel, text: str, drain: Drain) -> None:
        self._channel = channel
        self._title = text
        self._drain = drain
        self._due = [True]
        self._wanted: ReplacementRequested | None = None
        self._backlogs: set[str] = set()

    def starting(self) -> None:
        """Show `starting` in the title, and `draining` from the drain on."""
        self._drain.on_request, self._drain.read_messages = self._draining, self.backlogs_to_drain
        self._show("starting")

    def ready(self) -> None:
        """Send Ready, once."""
        try:
            self._due.pop()  # Atomic: of several threads at their first wait one sends it.
        except IndexError:
            return
        self._channel.send_ready()
        self._show("ready")

    def send(self, message: Message) -> None:
        """Send any other message."""
        if isinstance(message, ReplacementRequested):
            self._wanted = message
        self._channel.try_send(message)

    def renew(self, channel: Channel) -> None:
        """Go on over this channel, to another master; send it what the former one was sent of this worker's state."""
        # In the place of the former one, which other threads may be about to use.
        os.dup2(channel.fileno(), self._channel.fileno(), inheritable=False)
        channel.close()
        if not self._due:
            self._channel.send_ready()
        if self._wanted is not None:
            self._channel.try_send(self._wanted)

    def busy(self) -> None:
        """Send Busy, for a master that does not watch for hangs."""
        try:
            self._channel.send(Busy(), wait=False)
        except OSError:
            pass  # The master has ended, or has not read for long: it polls when it does.

    def backlogs_to_drain(self) -> frozenset[str]:
        """Read what the master has sent since the order; it sends it before the signal that makes this worker read."""
        try:
            while (received := self._channel.receive(wait=False)) is not None:
                if isinstance(received.message, DrainBacklogs):
                    self._backlogs.update(received.message.listeners)
                elif isinstance(received.message, CutDrain):
                    self._drain.cut(received.message.seconds)
        except BlockingIOError:
            pass  # All is read.
        return frozenset(self._backlogs)

    def _show(self, state: str) -> None:
        title.show(self._title, state)
        if self._drain.requested:  # Read after it: the signal's handler may have run just before.
            self._draining()

    def _draining(self) -> None:
        title.show(self._title, "draining")
