"""The outcomes of commands on their way to the clients that wait for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..._core.actions import Reply

Deliver = Callable[["Reply"], object]
"""Called with the outcome of a command."""


class Replies:
    """Which client waits for which command: the control server adds them, the executor delivers the outcomes."""

    def __init__(self) -> None:
        self._waiting: dict[int, Deliver] = {}
        self._commands = 0

    def expect(self, deliver: Deliver) -> int:
        """Return the number of a new command; `deliver` is called once with its outcome."""
        self._commands += 1
        self._waiting[self._commands] = deliver
        return self._commands

    def forget(self, command: int) -> None:
        """The client has gone: its outcome is not delivered."""
        self._waiting.pop(command, None)

    def deliver(self, reply: Reply) -> None:
        """Pass an outcome to the client that waits for it, if there is one."""
        deliver = self._waiting.pop(reply.id, None)
        if deliver is not None:
            deliver(reply)
