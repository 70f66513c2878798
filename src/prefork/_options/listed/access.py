"""Options for the access log, and the templates of its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..option import Option
from ..types import Parsed, Text, shown

FORMATS = {
    "common": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s',
    "combined": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
    "json": "",
}
"""The template of each named format; that of `json` is no template."""

FIELDS = ("h", "l", "u", "t", "r", "m", "U", "q", "H", "s", "B", "b", "f", "a", "T", "M", "D", "L", "p")
OWN_FIELDS = ("worker", "request_id")
"""The fields of a template: those that gunicorn has, by its names, and our own. `{NAME}i` and `{NAME}o` are headers."""

_FIELD = re.compile(r"%(?:%|\(((?:\{[!-z|~]+\})?\w+)\)s)")


def pieces(template: str) -> Iterator[tuple[str, str]]:
    """Yield each field of a template with the text before it, and at the end the rest with no field.

    Raises ValueError for what is no field.
    """
    text, at = "", 0
    while (found := template.find("%", at)) >= 0:
        match = _FIELD.match(template, found)
        field = match[1] if match else None
        if match is None or not (field is None or _is_known(field)):
            raise ValueError(f"{shown(template[found : found + 20])} is no field: {_known()}")
        text, at = text + template[at:found], match.end()
        if field is None:
            text += "%"
        else:
            yield text, field
            text = ""
    yield text + template[at:], ""


def access_format(text: str) -> str:
    """Return a format itself. Raises ValueError."""
    if text in FORMATS:
        return text
    if "%" not in text:
        raise ValueError(f"{shown(text)} is not one of {', '.join(FORMATS)}, and a template without any field")
    if not text.isprintable():
        raise ValueError(f"{shown(text)} is not one line of printable text")
    list(pieces(text))
    return text


def _is_known(field: str) -> bool:
    return field in FIELDS or field in OWN_FIELDS or (field.startswith("{") and field[-2:] in ("}i", "}o"))


def _known() -> str:
    names = ", ".join(f"%({name})s" for name in (*FIELDS, *OWN_FIELDS))
    return f"there are {names}, %({{NAME}}i)s and %({{NAME}}o)s for a header of the request or the response, and %%"


ACCESS = (
    Option(
        "access_log",
        Text("PATH|-", "a path, or - for standard output"),
        None,
        "File for a line about each request, or - for standard output; USR1 reopens it.",
        "served",
    ),
    Option(
        "access_log_format",
        Parsed("[common|combined|json|TEMPLATE]", access_format),
        "combined",
        "Format of its lines; a template has gunicorn's fields, such as %(h)s.",
        "served",
    ),
)
