"""Typed values as plain data that JSON can hold, and back, by their types.

For state that passes from one version of a program to another: a member that the data does not have keeps its default,
and one that the type does not have is ignored. What else differs raises `NotPlain`, which says where.

Bytes become text of the same code points, a dictionary whose keys are no texts a list of pairs, and a record of a
union of records a pair of its class's name and its members. A `Descriptor` is a number, and is collected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from .members import MISSING, fields, hints, is_record


class Descriptor(int):
    """The number of an open file that passes with the data."""


class NotPlain(ValueError):
    """The data is not of the type; the text says where and what it is."""


Writer = Callable[[Any, list[int]], Any]
"""Returns a value as plain data; adds its descriptors to the list."""

Reader = Callable[[Any], Any]


def plain(shape: Any, value: Any, descriptors: list[int] | None = None) -> Any:
    """Return a value of this type as plain data; its descriptors are added to the list."""
    return _codec(shape)[0](value, [] if descriptors is None else descriptors)


def made(shape: Any, data: Any) -> Any:
    """Return the value of this type that the data describes. Raises NotPlain."""
    try:
        return _codec(shape)[1](data)
    except NotPlain:
        raise
    except (TypeError, ValueError, OverflowError) as error:  # A pair of three, a key that is a list.
        raise NotPlain(f"{getattr(shape, '__name__', shape)}: {error}") from None


@cache
def _codec(shape: Any) -> tuple[Writer, Reader]:
    origin, arguments = get_origin(shape), get_args(shape)
    if shape is Any:
        return _same, _any
    if shape is Descriptor:
        return _write_descriptor, lambda data: Descriptor(_number(data))
    if shape in _SCALARS:
        return _same, _SCALARS[shape]
    if shape in (bytes, bytearray):
        return (lambda value, _: value.decode("latin-1")), lambda data: shape(_text(data).encode("latin-1"))
    if origin is Literal:
        return _same, lambda data: data if data in arguments else _refuse(data, shape)
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is tuple and arguments[-1] is not ...:
        return _fixed([_codec(each) for each in arguments])
    if origin in _SEQUENCES:
        return _several(_SEQUENCES[origin], _codec(arguments[0]))
    if origin in (dict, Mapping):
        return _mapping(arguments[0], _codec(arguments[1]))
    if is_record(shape):
        return _record(shape)
    raise TypeError(f"{shape} has no plain form")


def _same(value: Any, _descriptors: list[int]) -> Any:
    return value


def _any(data: Any) -> Any:
    return data


def _write_descriptor(value: int, descriptors: list[int]) -> int:
    descriptors.append(int(value))
    return int(value)


def _refuse(data: Any, shape: Any) -> Any:
    raise NotPlain(f"{str(data)[:80]!r} is not {getattr(shape, '__name__', shape)}")


def _number(data: Any) -> int:
    return data if type(data) is int else int(_refuse(data, int))


def _text(data: Any) -> str:
    return data if type(data) is str else str(_refuse(data, str))


_SCALARS: Mapping[Any, Reader] = {
    int: _number,
    str: _text,
    bool: lambda data: data if type(data) is bool else _refuse(data, bool),
    float: lambda data: float(data) if type(data) in (int, float) else _refuse(data, float),
    None: lambda data: None if data is None else _refuse(data, NoneType),
    NoneType: lambda data: None if data is None else _refuse(data, NoneType),
}

_SEQUENCES: Mapping[Any, Any] = {
    tuple: tuple, list: list, set: set, frozenset: frozenset, deque: deque, Sequence: tuple, Collection: tuple,
}  # fmt: skip


def _object(data: Any) -> dict[str, Any]:
    return data if type(data) is dict else dict(_refuse(data, dict))


def _list(data: Any) -> list[Any]:
    return data if type(data) is list else list(_refuse(data, list))


def _several(kind: Any, item: tuple[Writer, Reader]) -> tuple[Writer, Reader]:
    write, read = item
    return (lambda value, found: [write(each, found) for each in value]), lambda data: kind(map(read, _list(data)))


def _fixed(items: Sequence[tuple[Writer, Reader]]) -> tuple[Writer, Reader]:
    def write(value: Any, found: list[int]) -> Any:
        return [one(each, found) for (one, _), each in zip(items, value, strict=True)]

    def read(data: Any) -> Any:
        if len(_list(data)) != len(items):
            _refuse(data, f"{len(items)} values")
        return tuple([one(each) for (_, one), each in zip(items, data, strict=True)])

    return write, read


def _mapping(key: Any, item: tuple[Writer, Reader]) -> tuple[Writer, Reader]:
    (write, read), (write_key, read_key) = item, _codec(key)
    if key is str:
        return (lambda value, found: {name: write(each, found) for name, each in value.items()}), (
            lambda data: {name: read(each) for name, each in _object(data).items()}
        )

    def as_pairs(value: Any, found: list[int]) -> Any:
        return [[write_key(name, found), write(each, found)] for name, each in value.items()]

    def from_pairs(data: Any) -> Any:
        return {read_key(name): read(each) for name, each in _list(data)}

    return as_pairs, from_pairs


def _union(shapes: Sequence[Any]) -> tuple[Writer, Reader]:
    """Return the codec of a type or None, of several scalars, or of several records."""
    present = [each for each in shapes if each is not NoneType]
    optional = len(present) < len(shapes)
    if len(present) == 1:
        write, read = _codec(present[0])
    elif all(map(is_record, present)):
        write, read = _records(present)
    else:
        write, read = _alternatives(present)
    if not optional:
        return write, read
    return (lambda value, found: None if value is None else write(value, found)), (
        lambda data: None if data is None else read(data)
    )


def _records(shapes: Sequence[Any]) -> tuple[Writer, Reader]:
    codecs = {each.__name__: _codec(each) for each in shapes}

    def write(value: Any, found: list[int]) -> Any:
        name = type(value).__name__
        return [name, codecs[name][0](value, found)]

    def read(data: Any) -> Any:
        name, members = _list(data)
        return codecs[name][1](members) if name in codecs else _refuse(name, "|".join(codecs))

    return write, read


def _alternatives(shapes: Sequence[Any]) -> tuple[Writer, Reader]:
    """Return the codec of types that plain data tells apart: the first one that takes the data."""
    codecs = [(get_origin(each) or each, _codec(each)) for each in shapes]

    def write(value: Any, found: list[int]) -> Any:
        for kind, (one, _) in codecs:
            if isinstance(value, kind):
                return one(value, found)
        return _refuse(value, shapes)

    def read(data: Any) -> Any:
        for _, (_, one) in codecs:
            try:
                return one(data)
            except NotPlain:
                continue
        return _refuse(data, shapes)

    return write, read


def _record(shape: Any) -> tuple[Writer, Reader]:
    types = hints(shape)
    members = [(each.name, *_codec(types[each.name])) for each in fields(shape)]
    needed = {each.name for each in fields(shape) if each.default is MISSING and each.default_factory is MISSING}

    def write(value: Any, found: list[int]) -> Any:
        return {name: one(getattr(value, name), found) for name, one, _ in members}

    def read(data: Any) -> Any:
        if type(data) is not dict:
            _refuse(data, shape)
        if lacking := needed - data.keys():
            raise NotPlain(f"{shape.__name__} lacks {', '.join(sorted(lacking))}")
        try:
            return shape(**{name: one(data[name]) for name, _, one in members if name in data})
        except NotPlain as error:
            raise NotPlain(f"{shape.__name__}: {error}") from None

    return write, read
