"""What commands print: in one place, and printable, since much of it is text of an application that is not trusted."""

from __future__ import annotations

import re
from typing import Any

import click

from .._wire.printable import printable_lines

_COLOUR = re.compile("(\x1b\\[[0-9;]*m)")


def say(text: str = "", *, err: bool = False, **style: Any) -> None:
    """Print lines, with `style` for a terminal (`click.style`). It obeys nothing in them but colours."""
    parts = _COLOUR.split(text)
    parts[::2] = map(printable_lines, parts[::2])
    click.secho("".join(parts), err=err, **style)
