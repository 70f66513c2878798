"""A table: coloured and fitted to a terminal; else plain and complete.

rich draws such tables, too, but `prefork status` would take 1.5 times as long for its import.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import click

from .._wire.printable import printable

_LEAST = 7
"""A column that may shrink is left out below this width."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `narrow` is its heading in a narrow table.

    `shrinks`: the column may be shortened or left out if it is not 0; the largest number is first.
    """

    heading: str
    narrow: str = ""
    align: Literal["left", "right"] = "left"
    shrinks: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, and its colour on a terminal."""

    text: str
    colour: str | None = None
    dim: bool = False


def show(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    """Print a table."""
    headings, gap = [column.heading for column in columns], 2
    widths = _widths(headings, rows)
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if room is not None and _width(widths, gap) > room:
        headings, gap = [column.narrow or column.heading for column in columns], 1
        widths = _widths(headings, rows)
        _fit(columns, widths, room)
    shown = [at for at, width in enumerate(widths) if width]
    for line in ([Cell(heading, dim=True) for heading in headings], *rows):
        texts = [_cell(line[at], widths[at], columns[at].align, pad=at != shown[-1]) for at in shown]
        click.echo((" " * gap).join(texts))


def _widths(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[int]:
    return [max(len(heading), *(len(row[at].text) for row in rows), 0) for at, heading in enumerate(headings)]


def _width(widths: Sequence[int], gap: int = 1) -> int:
    """Return the width of a line; columns of width 0 are left out."""
    shown = [width for width in widths if width]
    return sum(shown) + gap * (len(shown) - 1)


def _fit(columns: Sequence[Column], widths: list[int], room: int) -> None:
    """Shorten the columns that may shrink; if that is not enough, leave them out."""
    shrinking = sorted((at for at, column in enumerate(columns) if column.shrinks), key=lambda at: -columns[at].shrinks)
    for least in _LEAST, 0:
        for at in shrinking:
            if (excess := _width(widths) - room) > 0:
                widths[at] = max(widths[at] - excess, min(widths[at], least)) if least else 0


def _cell(cell: Cell, width: int, align: str, pad: bool) -> str:
    text = printable(cell.text)
    text = text if len(text) <= width else text[: width - 1] + "…"
    if align == "right":
        text = text.rjust(width)
    elif pad:
        text = text.ljust(width)
    return click.style(text, fg=cell.colour, dim=cell.dim or None)
