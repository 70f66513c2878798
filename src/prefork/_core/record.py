"""Records: frozen dataclasses with slots that share the methods which differ in names only.

`dataclass` compiles `__repr__`, `__setattr__` and `__delattr__` for each class: half of its memory, and a master has a
hundred of them.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, fields
from typing import Any, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make a record of a class, as `@dataclass(frozen=True, slots=True)` does."""
    made = dataclass(frozen=True, slots=True, repr=False)(cls)
    for name, method in _SHARED.items():
        setattr(made, name, method)
    return made


def _represent(self: Any) -> str:
    values = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({values})"


def _refuse_to_assign(_self: object, name: str, _value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


_SHARED = {"__repr__": _represent, "__setattr__": _refuse_to_assign, "__delattr__": _refuse_to_delete}
