"""uvicorn's protocol on httptools, whose constructor sets what is the same for all connections in one step.

uvicorn's constructor sets some twenty attributes to the same values for each connection, and looks two loggers up. That
is a twentieth of what a new connection costs in Python.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import uvicorn

TESTED = ("0.53.", "0.54.")
"""Versions of uvicorn whose constructor is known."""
_OWN = {"parser", "pipeline"}
"""What each connection has of its own."""


def alike(protocol: type[Any], **given: Any) -> Callable[[], Any]:
    """Return what makes a protocol with these arguments; by uvicorn's constructor, where that is not the one known."""
    one, other = vars(protocol(**given)), vars(protocol(**given))
    shared = {name: value for name, value in one.items() if other.get(name, _OWN) is value}
    known = one.keys() - shared.keys() == _OWN and uvicorn.__version__.startswith(TESTED)
    parser = type(one.get("parser"))
    if not known or not hasattr(parser, "set_dangerous_leniencies"):
        return lambda: protocol(**given)

    class Alike(protocol):  # type: ignore[misc]
        def __init__(self) -> None:
            self.__dict__.update(shared)
            self.parser = parser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # As uvicorn does.
            self.pipeline: deque[Any] = deque()

    return Alike
