"""One request and its answer, as far as a line about it needs them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from time import perf_counter
from typing import Any

GONE = 499
"""The status of an answer that did not come to its end, as in nginx: the client went away first."""


class Exchange:
    """A request, by its ASGI scope or WSGI environ, and what is known of its answer.

    `size`: bytes of the body, None where the server sends a file. `headers`: the answer's, names in any case.
    `most`: the most characters of a text that the client has chosen.
    """

    __slots__ = ("begun", "headers", "id", "most", "over", "request_headers", "seconds", "size", "source", "status")

    def __init__(self, source: dict[str, Any]) -> None:
        self.begun = perf_counter()
        self.source = source
        self.status = 0
        self.size: int | None = 0
        self.seconds = 0.0
        self.headers: Iterable[tuple[Any, Any]] = ()
        self.request_headers: dict[bytes, bytes] | None = None
        self.id: str | None = None
        self.most = sys.maxsize
        self.over = False
