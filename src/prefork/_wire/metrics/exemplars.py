"""The last exemplar of a series: the labels of one request, what was observed, and when.

A cell's place holds the length and a check sum, and JSON: what is read while another process writes is no exemplar.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from contextlib import suppress

from ..._records.record import record
from .arena import EXEMPLAR, EXEMPLARS_AT, HAS_EXEMPLARS, Arena
from .table import text_of

_HEAD = struct.Struct("=II")


@record
class Exemplar:
    """One exemplar; `time` in seconds since 1970, or None."""

    labels: Mapping[str, str]
    value: float
    time: float | None


def write(arena: Arena, cell: int, exemplar: Exemplar) -> None:
    """Write a cell's exemplar in place of the last one. One that is too long is left out. Raises OSError."""
    from binascii import crc32

    data = json.dumps([dict(exemplar.labels), exemplar.value, exemplar.time]).encode()
    if _HEAD.size + len(data) <= EXEMPLAR:
        os.pwrite(arena.descriptor, _HEAD.pack(len(data), crc32(data)) + data, EXEMPLARS_AT + EXEMPLAR * cell)
        arena.write_word(HAS_EXEMPLARS, 1)


def read(arena: Arena, first: int, end: int) -> dict[int, Exemplar]:
    """Return the exemplars of the cells from `first` to before `end`, by cell."""
    if not arena.word(HAS_EXEMPLARS):
        return {}
    data = os.pread(arena.descriptor, EXEMPLAR * (end - first), EXEMPLARS_AT + EXEMPLAR * first)
    found = {}
    for at in range(0, len(data) - EXEMPLAR + 1, EXEMPLAR):
        length, check = _HEAD.unpack_from(data, at)
        if length and (exemplar := _parsed(data[at + _HEAD.size : at + EXEMPLAR][:length], check)) is not None:
            found[first + at // EXEMPLAR] = exemplar
    return found


def _parsed(data: bytes, check: int) -> Exemplar | None:
    from binascii import crc32

    if crc32(data) != check:
        return None
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        labels, observed, time = json.loads(data)
        labels = {text_of(name): text_of(value) for name, value in labels.items()}
        return Exemplar(labels, float(observed), None if time is None else float(time))
    return None
