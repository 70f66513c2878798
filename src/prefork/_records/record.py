"""Classes with a slot for each member, made without `dataclasses`: records, which are frozen, and mutable ones.

`dataclass` writes the methods of each class as text and compiles them. A master has 250 such classes: that was
40 % of the time that its imports took, and 0.7 MB. Here a class has an `__init__` of its own only, which is made of a
template by new names, and shares the other methods with all. The module `dataclasses` itself is two megabytes more, by
what it imports. It still takes each of these classes for a dataclass, where another module of the process imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from operator import attrgetter
from types import FunctionType
from typing import Any, NoReturn, TypeVar, dataclass_transform

from .members import MISSING, Member, field, fields

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make a record of a class, as `@dataclass(frozen=True, slots=True)` does. It has no base with members.

    A `default_factory` is called once, for all records: what they hold does not change, either.
    """
    return _frozen(cls, by_name=False)  # type: ignore[no-any-return]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record_by_name(cls: type[T]) -> type[T]:
    """Make a record whose values are given by name only, in any order, for one with many fields."""
    return _frozen(cls, by_name=True)  # type: ignore[no-any-return]


@dataclass_transform(field_specifiers=(field,))
def mutable(cls: type[T]) -> type[T]:
    """Make what `@dataclass(slots=True)` does, compared as a record is."""
    made = _changeable(cls)
    made._compared = _getter(made)
    made.__eq__, made.__hash__ = _equal, None
    return made  # type: ignore[no-any-return]


@dataclass_transform(eq_default=False, field_specifiers=(field,))
def entity(cls: type[T]) -> type[T]:
    """Make what `@dataclass(slots=True, eq=False)` does: it equals nothing but itself."""
    return _changeable(cls)  # type: ignore[no-any-return]


class _AsDataclass:
    """`__dataclass_fields__`, by which `dataclasses` knows a dataclass: made when it asks."""

    def __get__(self, _instance: object, cls: Any) -> Any:
        import dataclasses

        members: list[Any] = []
        for each in fields(cls):
            given: dict[str, Any] = {name: getattr(each, name) for name in ("compare", "metadata")}
            if each.default_factory is not MISSING:
                given["default_factory"] = each.default_factory
            elif each.default is not MISSING:
                given["default"] = each.default
            members.append((each.name, each.type, dataclasses.field(**given)))
        made: Any = dataclasses.make_dataclass(cls.__name__, members, kw_only=cls.__init__.__kwdefaults__ is not None)
        cls.__dataclass_fields__ = made.__dataclass_fields__
        return cls.__dataclass_fields__


_AS_DATACLASS = _AsDataclass()


def _slotted(cls: type) -> Any:
    """Return the class with a slot for each member. It is another class: slots are made with their class."""
    space = dict(vars(cls))
    names = tuple([name for name, text in space.get("__annotations__", {}).items() if not text.startswith("ClassVar")])
    space["_given"] = {name: space.pop(name) for name in names if name in space}
    space["__slots__"] = space["__match_args__"] = names
    space["__qualname__"], space["__dataclass_fields__"] = cls.__qualname__, _AS_DATACLASS
    for own in "__dict__", "__weakref__":
        space.pop(own, None)
    space.setdefault("__repr__", _represent)
    return type(cls)(cls.__name__, cls.__bases__, space)


def _frozen(cls: type, by_name: bool) -> Any:
    made = _slotted(cls)
    made.__init__ = _initializer(made, by_name)
    made._compared = _getter(made)
    for name, method in _SHARED.items():
        setattr(made, name, method)
    return made


def _changeable(cls: type) -> Any:
    """Return the class with an `__init__` that makes default values for each instance."""
    made = _slotted(cls)
    names, factories = made.__match_args__, dict(_factories(made))
    template = _assigning(len(names), tuple([names.index(name) for name in factories]))(MISSING, *factories.values())
    code = template.__code__.replace(
        co_varnames=("self", *names), co_names=names, co_qualname=f"{made.__qualname__}.__init__"
    )
    defaults = tuple([MISSING if name in factories else value for name, value in _defaults(made)])
    made.__init__ = FunctionType(code, {}, "__init__", defaults, template.__closure__)
    return made


def _factories(made: Any) -> Iterator[tuple[str, Any]]:
    for name, given in made._given.items():
        if type(given) is Member and given.default_factory is not MISSING:
            yield name, given.default_factory


def _defaults(made: Any) -> Iterator[tuple[str, Any]]:
    """Return the defaults of the parameters that have one, by name; of a factory, the factory."""
    for name, given in made._given.items():
        if type(given) is not Member:
            yield name, given
        elif given.default_factory is not MISSING:
            yield name, given.default_factory
        elif given.default is not MISSING:
            yield name, given.default


def _getter(made: Any) -> Callable[[Any], Any]:
    """Return the function that reads what is compared of an object."""
    given = made._given
    compared = [name for name in made.__match_args__ if type(given.get(name)) is not Member or given[name].compare]
    return attrgetter(*compared) if compared else _nothing


def _initializer(made: Any, by_name: bool) -> FunctionType:
    """Return the `__init__` of a class: the template for its number of fields, with their names as parameters."""
    names, factories = made.__match_args__, dict(_factories(made))
    defaults = {name: value() if name in factories else value for name, value in _defaults(made)}
    # A slot's own setter goes past `__setattr__`, which refuses.
    template = _template(len(names))(*(made.__dict__[name].__set__ for name in names))
    code = template.__code__.replace(co_varnames=("self", *names), co_qualname=f"{made.__qualname__}.__init__")
    if by_name:
        code = code.replace(co_argcount=1, co_kwonlyargcount=len(names))
        function = FunctionType(code, {}, "__init__", None, template.__closure__)
        function.__kwdefaults__ = defaults
        return function
    return FunctionType(code, {}, "__init__", tuple(defaults.values()), template.__closure__)


@cache
def _template(count: int) -> Callable[..., FunctionType]:
    """Return a function that makes an `__init__` for `count` fields of the setters of their slots."""
    numbers = range(count)
    body = "; ".join(f"s{n}(self, p{n})" for n in numbers) or "pass"
    return _compiled([f"s{n}" for n in numbers], count, body)


@cache
def _assigning(count: int, factories: tuple[int, ...]) -> Callable[..., FunctionType]:
    """Return a function that makes an `__init__` of what stands for no value, and of the factories."""
    made = [f"f{n}() if p{n} is absent else p{n}" if n in factories else f"p{n}" for n in range(count)]
    body = "; ".join(f"self.p{n} = {value}" for n, value in enumerate(made)) or "pass"
    return _compiled(["absent", *(f"f{n}" for n in factories)], count, body)


def _compiled(takes: list[str], count: int, body: str) -> Callable[..., FunctionType]:
    parameters = ", ".join(["self", *(f"p{n}" for n in range(count))])
    made: dict[str, Any] = {}
    exec(f"def template({', '.join(takes)}):\n def __init__({parameters}): {body}\n return __init__", made)
    return made["template"]  # type: ignore[no-any-return]


def _nothing(_record: object) -> tuple[()]:
    return ()


def _represent(self: Any) -> str:
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({values})"


def _equal(self: Any, other: Any) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    compared = type(self)._compared
    return compared(self) == compared(other)


def _hash(self: Any) -> int:
    return hash(type(self)._compared(self))


def _reduce(self: Any) -> tuple[type, tuple[Any, ...]]:
    return type(self), tuple(getattr(self, name) for name in self.__match_args__)


def _refuse_to_assign(_self: object, name: str, _value: object) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


_SHARED: dict[str, Callable[..., Any]] = {
    "__repr__": _represent,
    "__eq__": _equal,
    "__hash__": _hash,
    "__reduce__": _reduce,
    "__setattr__": _refuse_to_assign,
    "__delattr__": _refuse_to_delete,
}
