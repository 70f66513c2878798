"""The seam between deciding and doing.

The master loop (`_master.loop`) waits, tells a decider what happened, and carries out what it answers. There are two
deciders: `hooks.HookDecider`, which asks the program's own hooks as haskell-prefork does, and the supervisor of a
`Daemon`, which is pure. The loop does not know which of the two it drives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from .actions import Action
from .events import Event


class Decider(Protocol):
    """Events in, actions out. `now` is monotonic time in seconds; it never goes back."""

    def handle(self, event: Event, now: float) -> Iterable[Action]:
        """Take in one fact and answer with what is to be done about it, in order.

        The answer is to be gone through once, at once and to its end: it may be an iterator, with something left to do
        when all has been done.
        """

    def next_deadline(self) -> float | None:
        """When to be told `DeadlinePassed` if nothing else happens before; None for never."""
