"""A bar chart over time that fills its widget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from .palette import DIM, FAINT, GROUND, TEXT, shade, style

BARS = " ▁▂▃▄▅▆▇█"


class Chart(Widget):
    """One figure: its name, present value and peak, and a bar for each second; the newest on the right."""

    def __init__(self, name: str, colour: str, id: str) -> None:  # noqa: A002  # textual's name for it
        super().__init__(id=id)
        self._label, self._colour = name, colour
        self._values: Sequence[float | None] = ()
        self._now = self._peak = ""

    def show(self, values: Sequence[float | None], now: str, peak: str) -> None:
        """Draw new values."""
        if (values, now, peak) != (self._values, self._now, self._peak):
            self._values, self._now, self._peak = values, now, peak
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return the heading, or one line of the bars."""
        width = self.size.width
        strip = self._text(width) if y == 0 else self._bars(y - 1, width, self.size.height - 1)
        return strip.apply_style(style(TEXT, GROUND))

    def _text(self, width: int) -> Strip:
        room = width - len(self._label) - len(self._now) - len(self._peak) - 1
        return Strip(
            [
                Segment(self._label + " ", style(DIM)),
                Segment(self._now, style(TEXT, bold=True)),
                Segment(" " * max(1, room), style(DIM)),
                Segment(self._peak if room > 0 else "", style(FAINT)),
            ]
        ).adjust_cell_length(width)

    def _bars(self, row: int, width: int, height: int) -> Strip:
        values = list(self._values)[-width:]
        top = max((value for value in values if value), default=0.0)
        below = (height - 1 - row) * 8  # eighths of a line that lie below this one
        colour = shade(self._colour, GROUND, 0.45 * row / height)
        text = ""
        for value in values:
            eighths = round((value or 0.0) / top * height * 8) if top else 0
            if value and not eighths:
                eighths = 1  # A small value is not 0.
            text += BARS[max(0, min(8, eighths - below))]
        if row == height - 1:
            text = text.rjust(width)
            runs = [(empty, "".join(bars)) for empty, bars in groupby(text, " ".__eq__)]
            segments = [
                Segment("▁" * len(run) if empty else run, style(FAINT if empty else colour)) for empty, run in runs
            ]
            return Strip(segments, width)
        return Strip([Segment(" " * (width - len(values))), Segment(text, style(colour))], width)
