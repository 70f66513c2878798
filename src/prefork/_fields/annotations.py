"""Annotations of fields, evaluated."""

from __future__ import annotations

import typing
from enum import Enum
from typing import Any

from .._errors import UsageError


def hints(cls: type) -> dict[str, Any]:
    """Return the types of a class's fields. Raises UsageError where its annotations cannot be evaluated."""
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception as error:  # The program's own annotations may raise anything.
        raise UsageError(f"{cls.__qualname__}: its annotations cannot be evaluated: {error}") from None


def is_enum(annotation: Any) -> bool:
    """Return whether a type is an Enum."""
    return isinstance(annotation, type) and issubclass(annotation, Enum)
