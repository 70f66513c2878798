"""Descriptors in a worker context: the type that names one, and where values of a field hold them."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NewType

from .annotations import hints, is_enum

Descriptor = NewType("Descriptor", int)
"""An open file descriptor: a worker inherits those that its context's fields of this type name (hooks interface).

It may also be an element of a list, tuple, set or dict, or be None.
"""

Finder = Callable[[Any], Iterable[int]]
"""Finds the descriptors in a value of a field."""


def finder(annotation: Any, outer: tuple[Any, ...] = ()) -> Finder | None:
    """Return a function that finds the descriptors in a value of this type; None where it has none.

    Raises TypeError where they would not be found, or are ambiguous. `outer` guards against recursive types.
    """
    if annotation is Descriptor:
        return lambda value: (int(value),)
    if annotation in outer:
        return None
    origin, parts = typing.get_origin(annotation), _types_in(annotation)
    found = [finder(part, (*outer, annotation)) for part in parts]
    if not any(found):
        return None

    def in_turn(values: Iterable[Any]) -> Iterator[int]:
        for find, value in zip(found, values, strict=True):
            yield from find(value) if find else ()

    one = next(filter(None, found))
    if origin is typing.Annotated or (origin is None and not isinstance(annotation, type)):
        return one
    if origin in (typing.Union, types.UnionType) and len(parts) == 2 and types.NoneType in parts:
        return lambda value: () if value is None else one(value)
    if origin is tuple and Ellipsis not in parts:
        return in_turn
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda value: chain.from_iterable(map(in_turn, value.items()))
    if isinstance(origin, type) and issubclass(origin, Collection):
        return lambda value: chain.from_iterable(map(one, value))
    raise TypeError(
        f"a Descriptor in {annotation} would not be inherited: it may be in a list, tuple, set or dict, or be None, "
        "but not in another class or a union with other types"
    )


def _types_in(annotation: Any) -> tuple[Any, ...]:
    """Return the types in a type: its arguments, the type that it is an alias of, or those of its fields."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return arguments[:1]
    if origin is not None:
        generic = getattr(origin, "__value__", None)  # The value of a `type` statement with parameters.
        return arguments if generic is None else (*arguments, generic)
    for name in "__supertype__", "__value__":  # Of NewType and of `type`.
        if hasattr(annotation, name):
            return (getattr(annotation, name),)
    if isinstance(annotation, type) and not is_enum(annotation):
        return tuple(hints(annotation).values())
    return ()
