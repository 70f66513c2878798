"""What a worker has been given: an order brought to life, under the handle that the application sees."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assignment:
    """One worker's place in the world.

    `listeners` are non-blocking, for the flag is shared with every other process that holds them.
    `drain_descriptor` becomes and stays readable when the worker is asked to drain: wait on it, do not read.
    `report_ready` tells the master; calling it again does nothing.
    """

    key: str
    generation: int
    listeners: dict[str, socket.socket]
    drain_descriptor: int
    explicit_ready: bool
    report_ready: Callable[[], None]
