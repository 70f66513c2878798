"""The supervisor's objects as plain data and back, by their field names.

A field that takes no part in comparison is work in progress and is left out. A field that the data does not have keeps
its default, and one that the version no longer has is ignored, so that a newer version can read an older snapshot.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from .._errors import InternalError
from .._options import records
from . import plan, slot, state
from .restarts import pace

_CLASSES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        *(records.KindOptions, records.DaemonOptions, plan.Kind, plan.Entry),
        *(plan.Pool, plan.Listener, plan.Plan, plan.Spec),
        *(slot.Target, slot.Worker, slot.Slot),
        *(state.Mold, state.Change, state.Scaling, state.Stopping, state.Orphan, state.State),
        pace.Pace,
    )
}


def encode(value: object) -> Any:
    """Return `value` as JSON can hold it; containers have their type, since JSON has only two."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [type(value).__name__, *map(encode, value)]
        case dict():
            return ["dict", *([key, encode(item)] for key, item in value.items())]
        case _ if is_dataclass(value):
            kept = [field.name for field in fields(value) if field.compare]
            return [type(value).__name__, {name: encode(getattr(value, name)) for name in kept}]
        case _:
            raise InternalError(f"{value!r} is in the supervisor's state")


def decode(data: Any) -> Any:
    """Return what `encode` was given."""
    if not isinstance(data, list):
        return data
    name, *rest = data
    if name in ("list", "tuple"):
        items = map(decode, rest)
        return list(items) if name == "list" else tuple(items)
    if name == "dict":
        return {key: decode(item) for key, item in rest}
    cls = _CLASSES[name]
    known = {field.name for field in fields(cls)}
    return cls(**{key: decode(item) for key, item in rest[0].items() if key in known})
