"""Our options as the text of a prefork.toml."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .._options.table import OPTIONS


def text(values: Mapping[str, Any], notes: Mapping[str, str], made_of: str) -> str:
    """Return the file, with a note behind some values; `made_of` says where the values come from."""
    return "\n".join([f"# Made by `prefork migrate` of {made_of}.", *_lines(values, notes)]) + "\n"


def _lines(values: Mapping[str, Any], notes: Mapping[str, str]) -> Iterator[str]:
    for name in (option.name for option in OPTIONS if option.name in values):
        line = f"{name} = {literal(values[name])}"
        yield f"{line}  # {notes[name]}" if name in notes else line


def literal(value: Any) -> str:
    """Return one value as TOML writes it."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return f"{value:g}"
        case list():
            return f"[{', '.join(map(literal, value))}]"
    # A basic string of TOML is one of JSON, but for DEL.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
