"""The table of slots. Only the rows on the screen are drawn, and only their processes are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding
from textual.events import Click
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from .columns import Column, RowContext, Usage, cell, columns_for
from .figures import Line
from .palette import CHOSEN, DIM, FAINT, GROUND, TEXT, style


class SlotTable(ScrollView, can_focus=True):
    """A table with one chosen line, which the keys act on."""

    BINDINGS: ClassVar = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "move(1000000)", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._lines: Sequence[Line] = ()
        self._usage: Mapping[int, Usage] = {}
        self._row_context = RowContext(0.0, 0)
        self._columns: list[tuple[Column, int]] = []
        self._longest = 0
        self._chosen = 0
        self._notice = ""

    @property
    def chosen(self) -> str | None:
        """The key of the chosen slot."""
        return self._lines[self._chosen].key if self._lines else None

    @property
    def window(self) -> slice:
        """The lines that are on the screen."""
        first = int(self.scroll_y)
        return slice(first, first + max(0, self.size.height - 1))

    def show_notice(self, notice: str) -> None:
        """Show a text instead of lines."""
        self._notice = notice
        self.show((), {}, RowContext(0.0, 0))

    def show(self, lines: Sequence[Line], usage: Mapping[int, Usage], context: RowContext) -> None:
        """Draw new lines; the chosen slot stays chosen."""
        key = self.chosen
        self._lines, self._usage, self._row_context = lines, usage, context
        at = next((at for at, line in enumerate(lines) if line.key == key), None)
        self._chosen = min(self._chosen, max(0, len(lines) - 1)) if at is None else at
        longest = max((len(line.key) for line in lines), default=0)
        if longest != self._longest:
            self._longest, self._columns = longest, []
        self.virtual_size = Size(self.size.width, len(lines) + 1)
        self.refresh()

    def on_resize(self) -> None:
        """Choose the columns again."""
        self._columns = []
        self.virtual_size = Size(self.size.width, len(self._lines) + 1)

    def on_click(self, event: Click) -> None:
        """Choose the line that was clicked."""
        if event.y > 0:
            self._choose(int(self.scroll_y) + event.y - 1)

    def action_move(self, by: int) -> None:
        """Choose another line."""
        self._choose(self._chosen + by)

    def action_page(self, by: int) -> None:
        """Choose a line one page away."""
        self._choose(self._chosen + by * max(1, self.size.height - 2))

    def _choose(self, at: int) -> None:
        if not self._lines:
            return
        at = max(0, min(at, len(self._lines) - 1))
        step = 1 if at > self._chosen else -1
        while self._lines[at].leaving and 0 < at < len(self._lines) - 1 and at != self._chosen:
            at += step
        self._chosen = at - 1 if self._lines[at].leaving and at else at
        first, shown = int(self.scroll_y), max(1, self.size.height - 1)
        if not first <= self._chosen < first + shown:
            above = self._chosen if self._chosen < first else self._chosen - shown + 1
            self.scroll_to(y=above, animate=False, immediate=True)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return the headings, which do not scroll, or one line."""
        return self._line_at(y, self.scrollable_content_region.width).apply_style(style(TEXT, GROUND))

    def _line_at(self, y: int, width: int) -> Strip:
        if not self._lines:
            return self._notice_line(y, width)
        if not self._columns:
            self._columns = columns_for(self._longest, width - 2)
        if y == 0:
            return self._headings(width)
        at = int(self.scroll_y) + y - 1
        if at >= len(self._lines):
            return Strip.blank(width)
        return self._line(self._lines[at], CHOSEN if at == self._chosen and self.has_focus else None, width)

    def _notice_line(self, y: int, width: int) -> Strip:
        if y != self.size.height // 2:
            return Strip.blank(width)
        return Strip([Segment(self._notice.center(width), style(DIM))]).adjust_cell_length(width)

    def _headings(self, width: int) -> Strip:
        segments = [Segment(" ", style(FAINT))]
        for column, room in self._columns:
            text = column.heading.rjust(room) if column.right else column.heading.ljust(room)
            segments.append(Segment(text + " ", style(FAINT)))
        return Strip(segments).adjust_cell_length(width)

    def _line(self, line: Line, ground: str | None, width: int) -> Strip:
        used = self._usage.get(line.pid or 0, Usage())
        segments = [Segment("▌" if ground else " ", style(DIM, ground))]
        for column, room in self._columns:
            segments += cell(column.pieces(line, used, self._row_context), room, column.right, ground)
            segments.append(Segment(" ", style(TEXT, ground)))
        return Strip(segments).adjust_cell_length(width, style(TEXT, ground))
