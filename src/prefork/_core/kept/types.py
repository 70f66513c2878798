"""Checks that a value is of the type that a field's annotation names, since the data comes from another program.

The annotations are read as text, so that nothing has to be imported for them: names of types, `A | B`, `list[A]`,
`Collection[A]`, `tuple[A, ...]`, `tuple[A, B]`, `dict[K, V]`, `Mapping[K, V]`, `Literal["a", "b"]`, and the aliases
below.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, get_args

from ..._options import records
from .. import change, slot, state

Check = Callable[[Any], bool]

_PLAIN: dict[str, tuple[type, ...]] = {
    "None": (type(None),), "bool": (bool,), "int": (int,), "float": (float, int), "str": (str,),
}  # fmt: skip

_CONTAINERS: dict[str, tuple[type, ...]] = {"list": (list,), "tuple": (tuple,), "Collection": (tuple, list)}

_ALIASES = {
    "What": get_args(change.What),
    "ChangeStage": get_args(change.ChangeStage),
    "MoldPhase": get_args(state.MoldPhase),
    "Phase": get_args(slot.Phase),
    **{name: get_args(alias) for name, alias in vars(records).items() if get_args(alias) and name[0].isupper()},
}
"""Name of an alias -> the texts that it allows."""


@cache
def check(annotation: str) -> Check:
    """Return the function that says whether a value is of the annotated type."""
    choices = _split(annotation, "|")
    if len(choices) > 1:
        checks = [check(choice) for choice in choices]
        return lambda value: any(one(value) for one in checks)
    name, _, inner = annotation.strip().partition("[")
    inside = _split(inner.removesuffix("]"), ",") if inner else []
    if name in _PLAIN:
        types = _PLAIN[name]
        return lambda value: type(value) in types
    if name in _ALIASES or name == "Literal":
        texts = _ALIASES.get(name) or tuple(text.strip("\"'") for text in inside)
        return lambda value: isinstance(value, str) and value in texts
    if name in _CONTAINERS:
        return _each(_CONTAINERS[name], inside)
    if name in ("dict", "Mapping"):
        key, item = map(check, inside)
        return lambda value: type(value) is dict and all(map(key, value)) and all(map(item, value.values()))
    return lambda value: type(value).__name__ == name


def _each(containers: tuple[type, ...], inside: list[str]) -> Check:
    checks = [check(one) for one in inside if one != "..."]
    if containers == (tuple,) and "..." not in inside:
        return lambda value: type(value) is tuple and len(value) == len(checks) and all(map(_call, checks, value))
    return lambda value: type(value) in containers and all(map(checks[0], value))


def _call(one: Check, value: Any) -> bool:
    return one(value)


def _split(text: str, separator: str) -> list[str]:
    """Return the parts of an annotation between separators that are in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if character == separator and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
