"""Which types JSON can carry, so that a value comes back as it was."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as ms

_NO_KEY = (
    *(ms.BoolType, ms.NoneType, ms.TupleType, ms.VarTupleType, ms.FrozenSetType),
    *(ms.DataclassType, ms.StructType, ms.NamedTupleType),
)
"""Types that cannot be keys in JSON."""


def decoder(annotation: Any) -> tuple[msgspec.json.Decoder[Any] | None, str | None]:
    """Return the decoder of a type, or why values of it cannot be sent."""
    try:
        found, refusal = msgspec.json.Decoder(annotation), _refusal(ms.type_info(annotation), set())
    except (TypeError, NameError, ValueError, RecursionError) as error:
        return None, str(error)
    return (None, refusal) if refusal else (found, None)


def _refusal(node: ms.Type, seen: set[int]) -> str | None:
    """Return why values of this type cannot be sent; None when they can. `seen` guards against recursive types."""
    if id(node) in seen:
        return None
    seen.add(id(node))
    match node:
        case ms.AnyType():
            return "its type allows values that JSON would change: give a precise type"
        case ms.CustomType() | ms.RawType() | ms.ExtType():
            return f"{getattr(getattr(node, 'cls', None), '__name__', type(node).__name__)} cannot be sent as JSON"
        case ms.DataclassType() | ms.StructType() if typing.get_origin(node.cls) or getattr(
            node.cls, "__parameters__", ()
        ):
            return f"{node.cls} is generic, and its type arguments cannot be sent: use a class with concrete types"
        case ms.DictType(key) if any(isinstance(one, _NO_KEY) for one in getattr(key, "types", (key,))):
            return "the keys of a dict are sent as strings: use str, numbers, enums or dates"
    for part in _parts(node):
        if refusal := _refusal(part, seen):
            return refusal
    return None


def _parts(node: ms.Type) -> Iterator[ms.Type]:
    for name in ("item_type", "key_type", "value_type", "type"):
        part = getattr(node, name, None)
        if isinstance(part, ms.Type):
            yield part
    yield from getattr(node, "item_types", ()) or getattr(node, "types", ())
    for field in getattr(node, "fields", ()):
        yield field.type
