"""What a worker has been given: an order brought to life, under the handle that the application sees."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .drain import Drain
    from .scoreboard import Scoreboard


@dataclass(slots=True)  # Not frozen, as an order is not.
class Assignment:
    """One worker's place in the world.

    `listeners` are non-blocking, for the flag is shared with every other process that holds them.
    `report_ready` tells the master; calling it again does nothing. `report_worn_out` asks it for a successor, with the
    reason; the worker serves on until it is told to drain. `report_busy` wakes a master that does not watch for hangs.
    `abandoned` returns the names of the listeners whose queues nobody takes over, as far as the master has said so.
    `row` is this worker's in `board`, -1 where it has none.
    """

    key: str
    generation: int
    listeners: dict[str, socket.socket]
    drain: Drain
    explicit_ready: bool
    report_ready: Callable[[], None]
    report_worn_out: Callable[[str], None]
    report_busy: Callable[[], None] | None = None
    abandoned: Callable[[], frozenset[str]] = frozenset
    board: Scoreboard | None = None
    row: int = -1
