"""Dataclasses with slots, made without compiling their methods: records, which are frozen, and mutable ones.

`dataclass` writes the methods of each class as text and compiles them. A master has two hundred such classes: that was
40 % of the time that its imports took, and 0.7 MB. Here a class has an `__init__` of its own only, which is made of a
template by new names, and shares the other methods with all. A mutable class keeps the `__init__` of a dataclass, which
makes default values for each instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from functools import cache
from operator import attrgetter
from types import FunctionType
from typing import Any, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make a record of a class, as `@dataclass(frozen=True, slots=True)` does.

    A `default_factory` is called once, for all records: what they hold does not change, either.
    """
    return _made(cls, by_name=False)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record_by_name(cls: type[T]) -> type[T]:
    """Make a record whose values are given by name only, in any order, for one with many fields."""
    return _made(cls, by_name=True)


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: type[T]) -> type[T]:
    """Make what `@dataclass(slots=True)` does, compared as a record is."""
    made: Any = dataclass(slots=True, repr=False, eq=False)(cls)
    made._compared = _getter(fields(made))
    made.__repr__, made.__eq__, made.__hash__ = _represent, _equal, None
    return made  # type: ignore[no-any-return]


def _made(cls: type[T], by_name: bool) -> type[T]:
    made: Any = dataclass(slots=True, init=False, repr=False, eq=False, kw_only=by_name)(cls)
    members = fields(made)
    made.__init__ = _initializer(made, members, by_name)
    made._compared = _getter(members)
    for name, method in _SHARED.items():
        setattr(made, name, method)
    return made  # type: ignore[no-any-return]


def _getter(members: tuple[Field[Any], ...]) -> Callable[[Any], Any]:
    """Return the function that reads what is compared of an object."""
    compared = [each.name for each in members if each.compare]
    return attrgetter(*compared) if compared else _nothing


def _initializer(made: type, members: tuple[Field[Any], ...], by_name: bool) -> FunctionType:
    """Return the `__init__` of a class: the template for its number of fields, with their names as parameters."""
    names, defaults = tuple(each.name for each in members), dict(_defaults(members))
    # A slot's own setter goes past `__setattr__`, which refuses.
    template = _template(len(names))(*(made.__dict__[name].__set__ for name in names))
    code = template.__code__.replace(co_varnames=("self", *names), co_qualname=f"{made.__qualname__}.__init__")
    if by_name:
        code = code.replace(co_argcount=1, co_kwonlyargcount=len(names))
        function = FunctionType(code, {}, "__init__", None, template.__closure__)
        function.__kwdefaults__ = defaults
        return function
    return FunctionType(code, {}, "__init__", tuple(defaults.values()), template.__closure__)


def _defaults(members: tuple[Field[Any], ...]) -> Iterator[tuple[str, Any]]:
    """Return the defaults of the parameters that have one, by name."""
    for each in members:
        if each.default_factory is not MISSING:
            yield each.name, each.default_factory()
        elif each.default is not MISSING:
            yield each.name, each.default


@cache
def _template(count: int) -> Callable[..., FunctionType]:
    """Return a function that makes an `__init__` for `count` fields of the setters of their slots."""
    numbers = range(count)
    setters, parameters = ", ".join(f"s{n}" for n in numbers), ", ".join(["self", *(f"p{n}" for n in numbers)])
    body = "; ".join(f"s{n}(self, p{n})" for n in numbers) or "pass"
    made: dict[str, Any] = {}
    exec(f"def template({setters}):\n def __init__({parameters}): {body}\n return __init__", made)
    return made["template"]  # type: ignore[no-any-return]


def _nothing(_record: object) -> tuple[()]:
    return ()


def _represent(self: Any) -> str:
    values = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({values})"


def _equal(self: Any, other: Any) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    compared = type(self)._compared
    return compared(self) == compared(other)


def _hash(self: Any) -> int:
    return hash(type(self)._compared(self))


def _reduce(self: Any) -> tuple[type, tuple[Any, ...]]:
    return type(self), tuple(getattr(self, each.name) for each in fields(self))


def _refuse_to_assign(_self: object, name: str, _value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


_SHARED: dict[str, Callable[..., Any]] = {
    "__repr__": _represent,
    "__eq__": _equal,
    "__hash__": _hash,
    "__reduce__": _reduce,
    "__setattr__": _refuse_to_assign,
    "__delattr__": _refuse_to_delete,
}
