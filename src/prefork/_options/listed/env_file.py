"""A file of variables, in the common part of what systemd, Docker and dotenv read.

A line is `KEY=VALUE`; empty lines and those that begin with `#` or `;` are left out. A value in double or single quotes
may go over several lines; in double quotes a backslash quotes `"`, `\\`, `$` and a backquote (systemd.exec(5)). Nothing
is expanded.
"""

from __future__ import annotations

import re

from ..._errors import UsageError
from ..._linux import regular_file
from .assignment import check_name

_NOTHING = re.compile(r"[ \t]*(?:[#;][^\n]*)?(?:\n|\Z)")
_ENTRY = re.compile(
    r"[ \t]*(?:export[ \t]+)?(?P<name>[^\s=#]*)[ \t]*=[ \t]*"
    r"""(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<plain>[^"'\n][^\n]*)?)"""
    r"[ \t]*(?:(?<=[\"' \t])#[^\n]*)?(?:\n|\Z)",
    re.DOTALL,
)
_QUOTED = re.compile(r'\\(["\\$`])')


class UnreadableError(UsageError):
    """The file belongs to another user, who lets this one not read it."""


def read(path: str, shown: str) -> dict[str, str]:
    """Return the variables of a file. Raises UsageError, with the line for one that assigns nothing."""
    try:
        text = regular_file.read(path).decode()
    except PermissionError as error:
        raise UnreadableError(f"{shown}: cannot be read: {error.strerror}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{shown}: cannot be read: {getattr(error, 'strerror', 'it is not UTF-8')}") from None
    text = text.replace("\r\n", "\n")
    found: dict[str, str] = {}
    place = 0
    while place < len(text):
        if (nothing := _NOTHING.match(text, place)) is not None:
            place = nothing.end()
            continue
        try:
            name, found[name], place = _entry(_ENTRY.match(text, place))
        except ValueError as error:
            raise UsageError(f"{shown}:{text.count(chr(10), 0, place) + 1}: {error}") from None
    return found


def _entry(match: re.Match[str] | None) -> tuple[str, str, int]:
    """Return name, value and end of an entry. Raises ValueError without the line itself, which may hold a secret."""
    if match is None:
        raise ValueError("the line is not KEY=VALUE, or a quote in it is not closed")
    name, value = match["name"], _value(match)
    check_name(name)
    if "\0" in value:
        raise ValueError(f"the value of {name} has a null character")
    return name, value, match.end()


def _value(entry: re.Match[str]) -> str:
    if entry["double"] is not None:
        return _QUOTED.sub(r"\1", entry["double"])
    if entry["single"] is not None:
        return entry["single"]
    return (entry["plain"] or "").rstrip()
