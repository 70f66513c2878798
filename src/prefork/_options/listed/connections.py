"""Options for connections: how many wait, and how long one stays open."""

from __future__ import annotations

from ..option import Option
from ..types import SECONDS, Quantity, Whole

_KEPT = Quantity("SECONDS", "a time such as 75 or 2m, one second at least", SECONDS.units, SECONDS.most, least=1)

CONNECTIONS = (
    Option("keep_alive", _KEPT, 75.0, "Seconds that a connection stays open without a request.", "served"),
    Option("backlog", Whole(1), 2048, "Most connections that wait in the queue of a listener.", "served"),
)
