"""The memory through which a plan gets from a mold to its master, as JSON.

The master makes it, of a fixed size, and sends it to the mold with the question: so it receives no descriptor, and
reads no more than it has allowed. What the mold, which may be hostile, writes there is bounded before it is parsed: in
bytes, and in values, since a value of two bytes takes a hundred in memory.
"""

from __future__ import annotations

import json
import mmap
import os
import re

from .._errors import UsageError
from .._linux import memfd
from .messages import Json, MalformedMessage

LIMIT = 8 * 1024 * 1024
"""Bytes."""

MOST_VALUES = 100_000

_NAME = "prefork-plan"
_QUOTE = ord('"')
_PIECE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[^"]{1,65536}+', re.DOTALL)
"""A string, or what is outside of one. Never goes back, and takes a string that does not end: linear for any bytes."""


def create() -> int:
    """Return a new descriptor (close-on-exec). It takes no memory before it is written to. Raises OSError."""
    return memfd.create(_NAME, LIMIT)


def write(descriptor: int, plan: Json) -> int:
    """Write a plan; return its size in bytes. Raises UsageError for one that the master would refuse."""
    data = json.dumps(plan, separators=(",", ":")).encode()
    if problem := _problem(data):
        raise UsageError(f"the plan is too large: {problem}: give workers the name of a file that holds the rest")
    os.pwrite(descriptor, data, 0)
    return len(data)


def read(descriptor: int, size: int) -> Json:
    """Return the plan that a mold has written. Raises MalformedMessage."""
    if not 0 <= size <= LIMIT:
        raise MalformedMessage(f"a plan of {size} bytes")
    # In memory of its own, which is given back at once: the heap of the master would keep it.
    with mmap.mmap(-1, size + 1) as copy:
        with memoryview(copy) as view, view[:size] as wanted:
            if os.preadv(descriptor, [wanted], 0) != size:
                raise MalformedMessage("a plan that ends early")
        if problem := _problem(copy):
            raise MalformedMessage(f"a plan that is too large: {problem}")
        data = copy[:size]
    try:
        plan: Json = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"the plan is not JSON: {error}") from None
    return plan


def _problem(data: bytes | mmap.mmap) -> str | None:
    if len(data) > LIMIT + 1:
        return f"{len(data):,} bytes, and {LIMIT:,} are the most"
    values = texts = 0
    for piece in _PIECE.finditer(data):
        if data[piece.start()] == _QUOTE:
            texts += 1
        else:
            values += sum(map(piece.group().count, (b",", b"[", b"{")))
        if values > MOST_VALUES or texts > 2 * MOST_VALUES:  # Of a key and a value, say.
            return f"more than {MOST_VALUES:,} values"
    return None
