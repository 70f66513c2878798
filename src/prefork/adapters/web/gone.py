"""Whether the client of a request that an ASGI application answers has gone away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

LONG = 0.05
"""Seconds: of a shorter answer whose application does not ask, it is not found out whether the client still waits."""
_MOST_LEFT = 1000
"""Pieces of a request's body that the application has not read, and that are passed over to find that out."""


def is_gone(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]]) -> bool:
    """Return whether the server knows that the client has gone: `receive` says so, after what is left of the body.

    To be called before the last piece of the answer is sent. The first step of each call is taken by hand, since a task
    would need a turn of the loop, and no answer waits for that.
    """
    if any(name == b"expect" for name, _ in scope["headers"]):  # The server would now ask for a body that is not read.
        return False
    for _ in range(_MOST_LEFT):
        step: Any = receive().__await__()
        try:
            next(step)
        except StopIteration as returned:
            if returned.value["type"] == "http.disconnect":
                return True
        except Exception:
            return True  # granian's, once the connection has ended.
        else:
            getattr(step, "close", lambda: None)()
            return False
    return False
