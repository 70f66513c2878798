"""The texts of a message whose sender is not trusted, made fit for the log."""

from __future__ import annotations

from typing import Any

from ..._records.members import fields, replace
from ..._wire.messages import LEFT_OUT, LINE, MOST_TEXTS, Message
from ..._wire.printable import printable, printable_lines


def cleaned(message: Message) -> Message:
    """Return a message of a peer that is not trusted with its texts made printable, and those of one line cut.

    Of `text` the lines are kept: it is a report. Everything else becomes part of a line of the log.
    """
    changed: dict[str, Any] = {}
    for each in fields(message):
        value = getattr(message, each.name)
        if isinstance(value, str):
            changed[each.name] = printable_lines(value) if each.name == "text" else _line(value)
        elif isinstance(value, tuple):
            changed[each.name] = tuple(_line(one) if isinstance(one, str) else one for one in value[:MOST_TEXTS])
    return replace(message, **changed) if changed else message


def _line(text: str) -> str:
    return printable(text if len(text) <= LINE else LEFT_OUT + text[-LINE:])
