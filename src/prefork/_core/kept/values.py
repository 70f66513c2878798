"""The supervisor's objects as plain data and back, by their field names.

A field that takes no part in comparison is work in progress and is left out. A field that the data does not have keeps
its default. One that this version does not know is kept beside the object that it came with, and is written again with
it: so an older version in between loses nothing of what a newer one knows. An immutable record is written once, and
referred to by its number, since the options of a kind belong to each of its workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from ..._errors import InternalError
from ..._options import records
from ..._records.members import MISSING, fields, is_record
from .. import change, commands, plan, slot, state
from ..judge import bake, counts
from ..restarts import pace
from .snapshot import MalformedSnapshot
from .types import Check, check

_RECORDS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        *(records.KindOptions, records.DaemonOptions, plan.Kind, plan.Entry),
        *(plan.Pool, plan.Listener, plan.Plan, plan.Spec, slot.Target),
        *(commands.Reload, bake.Rules, counts.Sample, counts.Counts),
    )
}
"""Immutable: equal ones are one."""

_CLASSES: dict[str, Any] = _RECORDS | {
    cls.__name__: cls
    for cls in (
        *(slot.Worker, slot.Slot, pace.Pace, bake.Bake, change.Former),
        *(state.Mold, change.Change, state.Scaling, state.Stopping, state.Upgrading, state.Orphan, state.State),
    )
}

Unknown = Mapping[int, tuple[Any, dict[str, Any]]]
"""id of an object -> the object, and the fields of it that only another version knows."""


def encode(value: object, unknown: Unknown) -> dict[str, Any]:
    """Return `value` as JSON can hold it."""
    encoder = _Encoder(unknown)
    data = encoder.encode(value)
    return {"records": encoder.written, "value": data}


def decode(data: Any) -> tuple[Any, Unknown]:
    """Return what `encode` was given, and what is unknown. Raises MalformedSnapshot."""
    decoder = _Decoder()
    try:
        for one in data["records"]:
            decoder.read.append(decoder.decode_object(*one))
        return decoder.decode(data["value"]), decoder.unknown
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise MalformedSnapshot(f"the snapshot's data is malformed: {error!r:.200}") from None


@cache
def _kept(cls: Any) -> dict[str, tuple[bool, Check]]:
    """Return the fields of a class that are kept: whether each has a default, and the check of its type."""
    return {
        each.name: (not each.default is each.default_factory is MISSING, check(str(each.type)))
        for each in fields(cls)
        if each.compare
    }


class _Encoder:
    def __init__(self, unknown: Unknown) -> None:
        self._unknown = unknown
        self._numbers: dict[str, int] = {}  # by what is written
        self._known: dict[int, int] = {}  # by id: most records are met often
        self.written: list[Any] = []

    def encode(self, value: Any) -> Any:
        """Return a value as data; a container has its type, since JSON has only two."""
        cls = type(value)
        if cls is int or cls is str or value is None or cls is bool or cls is float:
            return value
        if cls is list or cls is tuple:
            return [cls.__name__, *map(self.encode, value)]
        if cls is dict:
            return ["dict", *([key, self.encode(item)] for key, item in value.items())]
        if not is_record(value):
            raise InternalError(f"{value!r} is in the supervisor's state")
        return ["#", self._number(value)] if cls.__name__ in _RECORDS else self._object(value)

    def _number(self, value: Any) -> int:
        number = self._known.get(id(value))
        if number is None:
            data = self._object(value)
            number = self._numbers.setdefault(repr(data), len(self.written))
            if number == len(self.written):
                self.written.append(data)
            self._known[id(value)] = number
        return number

    def _object(self, value: Any) -> list[Any]:
        data = {name: self.encode(getattr(value, name)) for name in _kept(value.__class__)}
        _, unknown = self._unknown.get(id(value), (None, {}))
        return [type(value).__name__, {**unknown, **data}]


class _Decoder:
    def __init__(self) -> None:
        self.read: list[Any] = []
        self.unknown: dict[int, tuple[Any, dict[str, Any]]] = {}

    def decode(self, data: Any) -> Any:
        if not isinstance(data, list):
            if isinstance(data, dict):
                raise TypeError("an object without a class")
            return data
        name, *rest = data
        if name == "#":
            return self.read[_number(*rest)]
        if name in ("list", "tuple"):
            items = map(self.decode, rest)
            return list(items) if name == "list" else tuple(items)
        if name == "dict":
            return {key: self.decode(item) for key, item in rest}
        return self.decode_object(name, *rest)

    def decode_object(self, name: str, data: dict[str, Any]) -> Any:
        """Return an object of a class; what it does not know is noted."""
        cls = _CLASSES[name]
        kept, values = _kept(cls), {}
        for field, (optional, is_right) in kept.items():
            if field not in data:
                if not optional:
                    raise TypeError(f"{name} has no {field}")
                continue
            value = values[field] = self.decode(data[field])
            if not is_right(value):
                raise TypeError(f"{name}.{field} is {value!r:.80}")
        made = cls(**values)
        if unknown := {field: item for field, item in data.items() if field not in kept}:
            self.unknown[id(made)] = made, unknown
        return made


def _number(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise TypeError(f"a record's number is {number!r:.80}")
    return number
