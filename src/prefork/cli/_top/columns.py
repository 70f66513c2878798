"""The table's columns: their content, their widths, and which of them fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

from ..._report.units import precise_duration, short_duration, short_number, short_size
from ..._wire.printable import printable
from .charts import BARS
from .figures import Line
from .palette import AMBER, BLUE, DIM, FAINT, RED, STATES, TEXT, generation, shade, style

Piece = tuple[str, str]
"""A text and its colour."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses, from /proc: `cpu` in per cent of one processor, `memory` in private bytes."""

    cpu: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class RowContext:
    """What all rows share: `busiest` is the highest rate of a slot, `newest` the newest generation."""

    busiest: float
    newest: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column. A narrow table leaves out the highest `rank` first. `most`: the width that it may grow to."""

    heading: str
    width: int
    pieces: Callable[[Line, Usage, RowContext], list[Piece]]
    rank: int
    right: bool = False
    most: int = 0


def fitting(columns: Sequence[Column], room: int) -> list[tuple[Column, int]]:
    """Return the columns that fit, with their widths, in order. Columns that may grow use the remaining width."""
    kept = sorted(columns, key=lambda column: column.rank)
    while len(kept) > 1 and _total_width(kept) > room:
        kept.pop()
    widths = {column.heading: column.width for column in kept}
    rest = room - _total_width(kept)
    if len(kept) == len(columns) and rest > 2 * len(kept):
        widths = {heading: width + 1 for heading, width in widths.items()}  # Wider gaps.
        rest -= len(kept)
    for column in sorted((column for column in kept if column.most), key=lambda column: column.rank):
        more = min(rest, column.most - column.width)
        widths[column.heading] += more
        rest -= more
    return [(column, widths[column.heading]) for column in columns if column.heading in widths]


def _total_width(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(columns) - 1


def columns_for(longest_key: int, room: int) -> list[tuple[Column, int]]:
    """Return the columns for a table of this width, with keys up to this length."""
    key = Column("SLOT", max(6, min(longest_key, room // 4)), _key, 0)
    return fitting([key, *_COLUMNS], room)


def _key(line: Line, _usage: Usage, _context: RowContext) -> list[Piece]:
    return [(" └", FAINT)] if line.leaving else [(line.key, TEXT)]


def _state(line: Line, _usage: Usage, _context: RowContext) -> list[Piece]:
    colour = STATES.get(line.state, TEXT)
    return [("● ", colour), (line.state, shade(colour, TEXT, 0.35))]


def _pid(line: Line, _usage: Usage, _context: RowContext) -> list[Piece]:
    return [("-" if line.pid is None else str(line.pid), DIM)]


def _generation(line: Line, _usage: Usage, context: RowContext) -> list[Piece]:
    return [("-", FAINT)] if line.generation is None else [(f"g{line.generation}", generation(line.generation))]


def _age(line: Line, _usage: Usage, _context: RowContext) -> list[Piece]:
    if line.retry_in is not None:
        return [(f"↻{short_duration(line.retry_in)}", AMBER)]  # The next start.
    return [(short_duration(line.age), DIM if line.age is not None else FAINT)]


def _count(number: float, colour: str = TEXT) -> list[Piece]:
    return [(short_number(number), colour if number else FAINT)]


def _trend(line: Line, _usage: Usage, context: RowContext) -> list[Piece]:
    if line.leaving or not context.busiest:
        return []
    bars = "".join(BARS[min(8, max(1, round(8 * rate / context.busiest)))] if rate else "▁" for rate in line.trend)
    return [(bars, shade(BLUE, FAINT, 0.25) if any(line.trend) else FAINT)]


def _mean(line: Line, _usage: Usage, _context: RowContext) -> list[Piece]:
    return [(precise_duration(line.mean), TEXT if line.mean is not None else FAINT)] if not line.leaving else []


def _percentile(share: float) -> Callable[[Line, Usage, RowContext], list[Piece]]:
    def pieces(line: Line, _usage: Usage, _context: RowContext) -> list[Piece]:
        value = line.latency.quantile(share) if line.latency is not None else None
        return [] if line.leaving else [(precise_duration(value), FAINT if value is None else TEXT)]

    return pieces


def _doing(line: Line, _usage: Usage, _context: RowContext) -> list[Piece]:
    process = line.process
    if process is None or process.busy_for is None:
        return [("-", FAINT)]
    pieces = [(process.doing or "busy", TEXT)]
    if process.busy_for >= 1:
        colour = RED if process.busy_for >= 10 else AMBER
        pieces.insert(0, (f"{short_duration(process.busy_for)} ", colour))
    return pieces


def _cpu(line: Line, usage: Usage, _context: RowContext) -> list[Piece]:
    cpu = usage.cpu
    if cpu is None:
        return [("-", FAINT)]
    return [(f"{cpu:.0f}", RED if cpu >= 90 else AMBER if cpu >= 50 else TEXT if cpu >= 1 else FAINT)]


def _memory(_line: Line, usage: Usage, _context: RowContext) -> list[Piece]:
    return [("-", FAINT)] if usage.memory is None else [(short_size(usage.memory), DIM)]


def _restarts(line: Line, _usage: Usage, _context: RowContext) -> list[Piece]:
    return [] if line.leaving else _count(line.restarts, AMBER)


def _last_exit(line: Line, _usage: Usage, _context: RowContext) -> list[Piece]:
    if line.leaving or not line.last_exit:
        return []
    return [(line.last_exit, FAINT if line.last_exit == "exited 0" else DIM)]


_COLUMNS = (
    Column("STATE", 10, _state, 1),
    Column("PID", 7, _pid, 4, right=True),
    Column("GEN", 3, _generation, 2, right=True),
    Column("AGE", 4, _age, 6, right=True),
    Column("REQUESTS", 8, lambda line, _u, _f: [] if line.leaving else _count(line.requests), 11, right=True),
    Column("ERRORS", 6, lambda line, _u, _f: [] if line.leaving else _count(line.errors, RED), 16, right=True),
    Column("REQ/S", 5, lambda line, _u, _f: [] if line.leaving else _count(line.rate), 5, right=True),
    Column("", 16, _trend, 15, right=True),
    Column("LATENCY", 7, _mean, 18, right=True),
    Column("P95", 5, _percentile(0.95), 12, right=True),
    Column("P99", 5, _percentile(0.99), 13, right=True),
    Column("OPEN", 4, lambda line, _u, _f: _count(line.process.open if line.process else 0), 17, right=True),
    Column("BUSY", 4, lambda line, _u, _f: _count(line.process.in_flight if line.process else 0), 9, right=True),
    Column("NOW DOING", 13, _doing, 3, most=44),
    Column("CPU%", 4, _cpu, 7, right=True),
    Column("PRIV", 5, _memory, 8, right=True),
    Column("RST", 3, _restarts, 10, right=True),
    Column("LAST EXIT", 12, _last_exit, 14, most=60),
)
"""Figures of the process; but requests, errors, restarts and last exit are the slot's."""


def cell(pieces: list[Piece], width: int, right: bool, ground: str | None) -> list[Segment]:
    """Return the segments of a cell, in exactly this width."""
    cells: list[tuple[str, Style]] = []
    room = width
    for text, colour in pieces:
        clean = printable(text)
        if cell_len(clean) > room:
            clean = set_cell_size(clean, max(0, room - 1)) + "…" if room > 0 else ""
        room -= cell_len(clean)
        cells.append((clean, style(colour, ground)))
    padding = Segment(" " * room, style(TEXT, ground))
    segments = [Segment(text, look) for text, look in cells if text]
    return [padding, *segments] if right else [*segments, padding]
