"""A snapshot as bytes: a head of one line, then one line of JSON.

The head is `prefork-snapshot SCHEMA LENGTH CHECKSUM`: the number of the schema, the length of the rest in bytes, and
the CRC-32 of schema, length and rest, in hexadecimal. It finds a half-written file and a program that mixes up two of
them; it is no proof against forgery, which the master's own files and descriptors have to exclude.

A new field needs no new schema: a program that does not know it keeps it (`values.py`), and gives it a default where it
is missing. The schema number grows when older programs could not go on from the data. A reader takes older schemas
through `STEPS`, and refuses newer ones.

`sections` are what the shell keeps besides, by name: plain data that only it reads. A section that this program does
not know belongs to another version; `unknown` names those, and the next snapshot is written with them.
"""

from __future__ import annotations

import json
from binascii import crc32
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..._records.members import field
from ..._records.record import record

SCHEMA = 1
"""The schema that this version writes."""

STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Schema -> what turns the data of one that old into that of the next."""

_MAGIC = b"prefork-snapshot"
_LONGEST_HEAD = 80


class MalformedSnapshot(Exception):
    """The bytes or the data are no snapshot that this version can go on from; the text is the reason, in words."""


@record
class Snapshot:
    """What one program leaves to the next.

    `state`: of `Supervisor.snapshot()`. `prefork`, `python`: the writer's version, and the minor version of its
    interpreter (`3.12`). `generation`: the committed one. `sections`: the shell's, by name.
    """

    prefork: str
    python: str
    generation: int
    state: Any
    sections: Mapping[str, Any] = field(default_factory=dict)

    def unknown(self, known: Iterable[str]) -> dict[str, Any]:
        """Return the sections that are not `known`: another version's, to be written again."""
        names = set(known)
        return {name: data for name, data in self.sections.items() if name not in names}


_FIELDS = {"prefork": str, "python": str, "generation": int, "sections": dict}


def to_bytes(snapshot: Snapshot, schema: int = SCHEMA) -> bytes:
    """Return a snapshot as bytes."""
    members = ("prefork", "python", "generation", "state", "sections")
    data = {name: getattr(snapshot, name) for name in members}
    body = json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
    return b"%s %d %d %08x\n%s" % (_MAGIC, schema, len(body), _checksum(schema, body), body)


def from_bytes(data: bytes, steps: Mapping[int, Any] = STEPS, schema: int = SCHEMA) -> Snapshot:
    """Return the snapshot that these bytes hold, in the schema that this version reads. Raises MalformedSnapshot."""
    written, body = _opened(data)
    if written > schema:
        raise MalformedSnapshot(f"the snapshot has schema {written}, newer than {schema}, which this version reads")
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedSnapshot("the snapshot's content is not JSON") from None
    if not isinstance(members, dict):
        raise MalformedSnapshot("the snapshot's content is no object")
    for number in range(written, schema):
        if number not in steps:
            raise MalformedSnapshot(f"the snapshot has schema {written}, older than {schema}, which this version reads")
        members = steps[number](members)
    for name, cls in _FIELDS.items():
        if type(members.get(name)) is not cls:
            raise MalformedSnapshot(f"the snapshot's {name} is {members.get(name)!r:.80}, not of type {cls.__name__}")
    writer = members["prefork"], members["python"]
    return Snapshot(*writer, members["generation"], members.get("state"), members["sections"])


def _opened(data: bytes) -> tuple[int, bytes]:
    """Return the schema and the content, which the head says is whole."""
    head, newline, body = data.partition(b"\n") if b"\n" in data[:_LONGEST_HEAD] else (data[:_LONGEST_HEAD], b"", b"")
    words = head.split(b" ")
    if words[0] != _MAGIC:
        raise MalformedSnapshot("these bytes are no snapshot of prefork")
    if not newline:
        raise MalformedSnapshot("the snapshot is truncated: its head has no end")
    try:
        _, *numbers, checksum = words
        schema, length = (int(word) for word in numbers if word.isdigit())
        expected = int(checksum, 16)
    except ValueError:
        raise MalformedSnapshot("the snapshot's head is damaged") from None
    if len(body) < length:
        raise MalformedSnapshot(f"the snapshot is truncated: {len(body)} bytes of {length}")
    if len(body) > length:
        raise MalformedSnapshot(f"the snapshot is {len(body)} bytes long, not {length}")
    if _checksum(schema, body) != expected:
        raise MalformedSnapshot("the snapshot's checksum is wrong: it was damaged")
    return schema, body


def _checksum(schema: int, body: bytes) -> int:
    return crc32(body, crc32(b"%d %d " % (schema, len(body))))
