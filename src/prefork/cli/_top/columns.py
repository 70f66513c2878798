"""The table's columns: what each one shows, how wide it is, and which of them there is room for."""

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
class Use:
    """What /proc says of a process: its share of a processor in per cent, and the bytes that it has to itself."""

    cpu: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What all lines have in common: `busiest` is the largest rate of any slot, `newest` a generation."""

    busiest: float
    newest: int


@dataclass(frozen=True, slots=True)
class Column:
    """`rank`: where there is no room, the column with the largest goes first. `most`: how wide it may grow."""

    heading: str
    width: int
    pieces: Callable[[Line, Use, Frame], list[Piece]]
    rank: int
    right: bool = False
    most: int = 0


def fitting(columns: Sequence[Column], room: int) -> list[tuple[Column, int]]:
    """Return the columns that there is room for and their widths, in order. What room is left, those that may take."""
    kept = sorted(columns, key=lambda column: column.rank)
    while len(kept) > 1 and _taken(kept) > room:
        kept.pop()
    widths = {column.heading: column.width for column in kept}
    rest = room - _taken(kept)
    if len(kept) == len(columns) and rest > 2 * len(kept):
        widths = {heading: width + 1 for heading, width in widths.items()}  # Air.
        rest -= len(kept)
    for column in sorted((column for column in kept if column.most), key=lambda column: column.rank):
        more = min(rest, column.most - column.width)
        widths[column.heading] += more
        rest -= more
    return [(column, widths[column.heading]) for column in columns if column.heading in widths]


def _taken(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(columns) - 1


def columns_for(longest_key: int, room: int) -> list[tuple[Column, int]]:
    """Return the columns of a table that is so wide and has keys of such a length."""
    key = Column("SLOT", max(6, min(longest_key, room // 4)), _key, 0)
    return fitting([key, *_COLUMNS], room)


def _key(line: Line, _use: Use, _frame: Frame) -> list[Piece]:
    return [(" └", FAINT)] if line.leaving else [(line.key, TEXT)]


def _state(line: Line, _use: Use, _frame: Frame) -> list[Piece]:
    colour = STATES.get(line.state, TEXT)
    return [("● ", colour), (line.state, shade(colour, TEXT, 0.35))]


def _pid(line: Line, _use: Use, _frame: Frame) -> list[Piece]:
    return [("-" if line.pid is None else str(line.pid), DIM)]


def _generation(line: Line, _use: Use, frame: Frame) -> list[Piece]:
    return [("-", FAINT)] if line.generation is None else [(f"g{line.generation}", generation(line.generation))]


def _age(line: Line, _use: Use, _frame: Frame) -> list[Piece]:
    if line.retry_in is not None:
        return [(f"↻{short_duration(line.retry_in)}", AMBER)]  # It is tried again then.
    return [(short_duration(line.age), DIM if line.age is not None else FAINT)]


def _count(number: float, colour: str = TEXT) -> list[Piece]:
    return [(short_number(number), colour if number else FAINT)]


def _trend(line: Line, _use: Use, frame: Frame) -> list[Piece]:
    if line.leaving or not frame.busiest:
        return []
    bars = "".join(BARS[min(8, max(1, round(8 * rate / frame.busiest)))] if rate else "▁" for rate in line.trend)
    return [(bars, shade(BLUE, FAINT, 0.25) if any(line.trend) else FAINT)]


def _mean(line: Line, _use: Use, _frame: Frame) -> list[Piece]:
    return [(precise_duration(line.mean), TEXT if line.mean is not None else FAINT)] if not line.leaving else []


def _doing(line: Line, _use: Use, _frame: Frame) -> list[Piece]:
    process = line.process
    if process is None or process.busy_for is None:
        return [("-", FAINT)]
    pieces = [(process.doing or "busy", TEXT)]
    if process.busy_for >= 1:
        colour = RED if process.busy_for >= 10 else AMBER
        pieces.insert(0, (f"{short_duration(process.busy_for)} ", colour))
    return pieces


def _cpu(line: Line, use: Use, _frame: Frame) -> list[Piece]:
    if use.cpu is None:
        return [("-", FAINT)]
    return [(f"{use.cpu:.0f}", RED if use.cpu >= 90 else AMBER if use.cpu >= 50 else TEXT if use.cpu >= 1 else FAINT)]


def _memory(_line: Line, use: Use, _frame: Frame) -> list[Piece]:
    return [("-", FAINT)] if use.memory is None else [(short_size(use.memory), DIM)]


def _restarts(line: Line, _use: Use, _frame: Frame) -> list[Piece]:
    return [] if line.leaving else _count(line.restarts, AMBER)


def _last_exit(line: Line, _use: Use, _frame: Frame) -> list[Piece]:
    if line.leaving or not line.last_exit:
        return []
    return [(line.last_exit, FAINT if line.last_exit == "exited 0" else DIM)]


_COLUMNS = (
    Column("STATE", 10, _state, 1),
    Column("PID", 7, _pid, 4, right=True),
    Column("GEN", 3, _generation, 2, right=True),
    Column("AGE", 4, _age, 6, right=True),
    Column("REQUESTS", 8, lambda line, _u, _f: [] if line.leaving else _count(line.requests), 11, right=True),
    Column("ERRORS", 6, lambda line, _u, _f: [] if line.leaving else _count(line.errors, RED), 15, right=True),
    Column("REQ/S", 5, lambda line, _u, _f: [] if line.leaving else _count(line.rate), 5, right=True),
    Column("", 16, _trend, 14, right=True),
    Column("LATENCY", 7, _mean, 12, right=True),
    Column("OPEN", 4, lambda line, _u, _f: _count(line.process.open if line.process else 0), 16, right=True),
    Column("FLY", 3, lambda line, _u, _f: _count(line.process.in_flight if line.process else 0), 9, right=True),
    Column("NOW DOING", 13, _doing, 3, most=44),
    Column("CPU%", 4, _cpu, 7, right=True),
    Column("PRIV", 5, _memory, 8, right=True),
    Column("RST", 3, _restarts, 10, right=True),
    Column("LAST EXIT", 12, _last_exit, 13, most=60),
)
"""Of the slot's process, but for what is the slot's: all that it has counted, its restarts and last exit."""


def laid_out(pieces: list[Piece], width: int, right: bool, ground: str | None) -> list[Segment]:
    """Return a cell of exactly this width."""
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
