"""The pane of events."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from rich.segment import Segment
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..._report.folding import blamed
from ..._report.sentences import sentence, subject, tone
from ...client import Event
from .._words import moment, with_user_names
from .columns import cell
from .palette import DIM, FAINT, GROUND, TEXT, shade, style
from .texts import COLOURS

_KEPT = 1000

_LATELY = 600.0
"""Seconds of which the title names the request that most crashed workers had."""


class EventPane(ScrollView, can_focus=False):
    """A list with the newest event at the bottom; it follows new events unless the user has scrolled up."""

    def __init__(self) -> None:
        super().__init__()
        self._events: deque[Event] = deque(maxlen=_KEPT)

    def add(self, events: Iterable[Event]) -> None:
        """Add events."""
        at_end = self.scroll_y >= self.max_scroll_y
        events = list(events)
        self._events.extend(event for event in events if event.get("stage") != "settled")
        lately = time.time() - _LATELY
        crashes = [event for event in self._events if event["event"] == "ended" and event.get("status")]
        crashes = [event for event in crashes if event.get("time", 0.0) > lately]
        most = blamed((event.get("doing", "") for event in crashes), len(crashes))
        self.border_title = f"events  {most}" if most else "events"
        self._resized(at_end)

    def on_resize(self) -> None:
        """Scroll to the end."""
        self._resized(True)

    def _resized(self, to_end: bool) -> None:
        self.virtual_size = Size(self.size.width, len(self._events))
        if to_end:
            self.scroll_end(animate=False)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one event, cut at the width."""
        at, width = int(self.scroll_y) + y, self.scrollable_content_region.width
        if at >= len(self._events):
            return Strip.blank(width, style(TEXT, GROUND))
        event = self._events[at]
        when = moment(event["time"], time.time())[:-4] if "time" in event else "-"
        text = with_user_names(sentence(event)).split("\n")[0]
        about = subject(event)
        room = 9 if width < 90 else 16
        colour = shade(COLOURS[tone(event)], DIM, 0.3)
        strip = Strip(
            [
                *cell([(f" {when} ", FAINT)], len(when) + 2, False, None),
                *cell([(about, TEXT if about != "daemon" else DIM)], room, False, None),
                Segment(" "),
                *cell([(text, colour)], max(0, width - room - len(when) - 3), False, None),
            ]
        )
        return strip.adjust_cell_length(width).apply_style(style(TEXT, GROUND))
