"""The members of records: how a class declares them, and what holds for every record.

Named as in `dataclasses`, which a master does not import: with `inspect` and `ast` it would be two megabytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING"})()
"""Stands for a default that a member does not have."""


class Member:
    """A member of a record; `type` is its annotation as text."""

    __slots__ = ("compare", "default", "default_factory", "metadata", "name", "type")

    def __init__(self, default: Any, default_factory: Any, compare: bool, metadata: Mapping[str, Any]) -> None:
        self.default = default
        self.default_factory = default_factory
        self.compare = compare
        self.metadata = metadata
        self.name = self.type = ""


_NOTHING: Mapping[str, Any] = {}


def field(
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] = MISSING,
    compare: bool = True,
    metadata: Mapping[str, Any] = _NOTHING,
) -> Any:
    """Declare a member of a record, in the place of its default, as `dataclasses.field` does."""
    return Member(default, default_factory, compare, metadata)


def is_record(value: object) -> bool:
    """Return whether this is a record or the class of one."""
    return hasattr(value if isinstance(value, type) else type(value), "_given")


def fields(record: Any) -> tuple[Member, ...]:
    """Return the members of a record or of its class, in order. They are made here, as most are never asked for."""
    cls: Any = record if isinstance(record, type) else type(record)
    return tuple([_member(cls, name) for name in cls.__match_args__])


def _member(cls: Any, name: str) -> Member:
    given = cls._given.get(name, MISSING)
    member = given if type(given) is Member else Member(given, MISSING, True, _NOTHING)
    member.name, member.type = name, cls.__annotations__[name]
    return member


def hints(cls: Any) -> dict[str, Any]:
    """Return the types of the members of a record's class, by name.

    `typing.get_type_hints` would import half a megabyte on Python 3.14, for annotations that are no texts.
    """
    space = vars(sys.modules[cls.__module__])
    return {name: eval(cls.__annotations__[name], space) for name in cls.__match_args__}


if TYPE_CHECKING:  # The checker of types knows which names a record of each class takes.
    from dataclasses import replace as replace
else:

    def replace(record, /, **changes):
        """Return a record with other values for some members."""
        return type(record)(**{name: getattr(record, name) for name in record.__match_args__} | changes)


def asdict(record: Any) -> dict[str, Any]:
    """Return the members by name; records in them, and in their containers, as dictionaries too."""
    return {name: _plain(getattr(record, name)) for name in record.__match_args__}


def astuple(record: Any) -> tuple[Any, ...]:
    """Return the values of the members, in order; records in them as tuples too."""
    values = (getattr(record, name) for name in record.__match_args__)
    return tuple([astuple(value) if is_record(value) else value for value in values])


def _plain(value: Any) -> Any:
    if is_record(value):
        return asdict(value)
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    if type(value) is dict:
        return {name: _plain(each) for name, each in value.items()}
    return value
