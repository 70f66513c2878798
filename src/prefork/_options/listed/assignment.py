"""A variable as it is written: `KEY=VALUE`."""

from __future__ import annotations

import re

from ..option import PREFIX
from ..types import shown

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def assignment(text: str) -> str:
    """Return the text if it assigns a variable of the application; raises ValueError otherwise."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{shown(text)} is not KEY=VALUE")
    check_name(name)
    if "\0" in value:
        raise ValueError(f"the value of {name} has a null character")
    return text


def check_name(name: str) -> None:
    """Raise ValueError for what cannot be the name of a variable of the application."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{shown(name)} is not the name of a variable: letters, digits and '_', no digit first")
    if name.startswith(PREFIX):
        raise ValueError(f"{name} is an option of prefork, which no application sees: give it to prefork itself")
