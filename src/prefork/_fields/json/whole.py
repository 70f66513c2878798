"""The JSON of a whole context: its kind, and the values of its fields by name."""

from __future__ import annotations

import msgspec

from ..._errors import UsageError
from ..field import ENCODER


class _Wire(msgspec.Struct):
    kind: str
    fields: dict[str, msgspec.Raw]


def joined(kind: str, fields: dict[str, msgspec.Raw]) -> bytes:
    """Return the JSON of a context."""
    return ENCODER.encode({"kind": kind, "fields": fields})


def separated(data: bytes) -> tuple[str, dict[str, msgspec.Raw]]:
    """Return the kind and the values by name, still as JSON. Raises UsageError for what is no encoded context."""
    try:
        wire = msgspec.json.decode(data, type=_Wire)
    except msgspec.MsgspecError as error:
        raise UsageError(f"no encoded context: {error}") from None
    return wire.kind, wire.fields
