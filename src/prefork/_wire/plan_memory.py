"""The memory through which a plan gets from a mold to its master, as JSON.

The master makes it, of a fixed size, and sends it to the mold with the question: so it receives no descriptor, and
reads no more than it has allowed. What the mold, which may be hostile, writes there is bounded before it is parsed: in
bytes, and in values, since a value of two bytes takes a hundred in memory.
"""

from __future__ import annotations

import json
import os
import re

from .._errors import UsageError
from .._linux import memfd
from .messages import Json, MalformedMessage

LIMIT = 8 * 1024 * 1024
"""Bytes."""

MOST_VALUES = 100_000

_NAME = "prefork-plan"
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""Never goes back, and matches a string that does not end, too: linear, whatever the bytes are."""


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
    data = memfd.read_start(descriptor, size)
    if problem := _problem(data):
        raise MalformedMessage(f"a plan that is too large: {problem}")
    try:
        plan: Json = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"the plan is not JSON: {error}") from None
    return plan


def _problem(data: bytes) -> str | None:
    if len(data) > LIMIT:
        return f"{len(data):,} bytes, and {LIMIT:,} are the most"
    if data.count(b'"') - data.count(b'\\"') > 4 * MOST_VALUES:  # Of a key and a value, say; an escaped one is none.
        return f"too many texts for {MOST_VALUES:,} values, which are the most"
    bare = _STRING.sub(b"", data)
    values = sum(bare.count(mark) for mark in (b",", b"[", b"{"))
    return f"{values:,} values, and {MOST_VALUES:,} are the most" if values > MOST_VALUES else None
