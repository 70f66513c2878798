"""The interface between the loop and what decides.

The master loop (`_master.loop`) waits, passes events to a decider, and has its actions carried out. There are two
deciders: `_hooks.decider.HookDecider`, which calls the program's own hooks as haskell-prefork does, and the supervisor
of a `Daemon`, which is pure. The loop does not know which of the two it drives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .actions import Action
from .events import Event


class Decider(Protocol):
    """Events in, actions out. `now` is monotonic time in seconds; it never goes back."""

    def handle(self, event: Event, now: float) -> Sequence[Action]:
        """Return the actions for one event, in order; each `OrderWorker` stands before all other actions."""

    def next_deadline(self) -> float | None:
        """Return when `DeadlinePassed` is due if nothing happens before; None for never."""
