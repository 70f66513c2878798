"""The page: its layout, its keys, and what it shows for each message of the link."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import ClassVar, Literal

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Footer, Static

from ..._errors import SystemFailure
from ..._linux.listening.backlogs import backlogs
from ..._report.units import precise_duration, short_number
from ..._wire.printable import printable
from ...client import Client, Each, Status
from ...scoreboard import Board, open_scoreboard
from . import guide, link
from .charts import Chart
from .columns import RowContext, Usage
from .dialogs import ScaleDialog, TextDialog
from .events import EventPane
from .figures import Figures
from .heading import Head
from .palette import AMBER, CHOSEN, DIM, FAINT, GREEN, GROUND, RAISED, RED, RULE, TEXT
from .slot_table import SlotTable
from .texts import explained, stacks
from .usage import UsageReader

_EVERY = 1.0
"""Seconds between two readings of the scoreboard."""


class Top(App[None]):
    """The page of one daemon."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [
        Binding("r", "reload", "reload"),
        Binding("s", "scale", "scale"),
        Binding("k", "restart", "restart slot"),
        Binding("e", "explain", "explain"),
        Binding("x", "stacks", "stacks"),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),  # Textual's own only names another key.
    ]
    CSS = f"""
    Screen {{ background: {GROUND}; color: {TEXT}; }}
    Head {{ background: {RAISED}; }}
    #charts {{ height: 3; padding: 0 1; }}
    #charts Chart {{ width: 1fr; height: 100%; }}
    #latency {{ margin-left: 2; }}
    SlotTable {{ margin-top: 1; background: {GROUND}; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        overflow-x: hidden; }}
    EventPane {{
        height: 1fr; border-top: solid {RULE}; border-title-color: {FAINT}; background: {GROUND};
        scrollbar-size-vertical: 1; overflow-x: hidden;
    }}
    SlotTable, EventPane, .reading {{
        scrollbar-background: {GROUND}; scrollbar-color: {RULE}; scrollbar-background-hover: {GROUND};
        scrollbar-color-hover: {CHOSEN}; scrollbar-color-active: {CHOSEN}; scrollbar-background-active: {GROUND};
    }}
    #outcome {{ height: 1; padding: 0 1; background: {RAISED}; color: {DIM}; }}
    Footer {{ background: {RAISED}; color: {DIM}; }}
    FooterKey {{ background: {RAISED}; color: {DIM}; }}
    FooterKey .footer-key--key {{ color: {TEXT}; background: {CHOSEN}; }}
    FooterKey .footer-key--description {{ color: {DIM}; background: {RAISED}; }}
    .-tall #charts {{ height: 6; padding: 1 1 0 1; }}
    .-towering #charts {{ height: 9; padding: 1 1 0 1; }}
    ModalScreen {{ align: center middle; background: {GROUND} 60%; }}
    .reading {{ scrollbar-background: {RAISED}; scrollbar-size-vertical: 1; }}
    .dialog {{ background: {RAISED}; border: round {FAINT}; border-title-color: {TEXT}; padding: 1 2; }}
    .reading {{ width: 90%; height: auto; max-height: 85%; }}
    .scaling {{ width: 58; max-width: 95%; height: auto; }}
    .scaling Input {{ margin-top: 1; background: {GROUND}; border: none; height: 1; padding: 0 1; }}
    """

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.VERTICAL_BREAKPOINTS = [(0, "-short"), (34, "-tall"), (50, "-towering")]
        self._client = client
        self._link = link.Link(client, self.post_message)
        self._daemon = os.path.basename(client.directory)
        self._status: Status | None = None
        self._board: Board | None = None
        self._gone = False
        self._figures, self._usage = Figures(), UsageReader()
        # Attributes, not queries: messages may still come while the page is closed, and a query would find no widget.
        self._head, self._slots, self._events, self._outcome = Head(), SlotTable(), EventPane(), Static(id="outcome")
        self._requests = Chart("requests/s", "#5aa9f0", "requests")
        self._latency = Chart("latency", "#4cc9a0", "latency")
        self._used: dict[int, Usage] = {}  # of the last poll

    def compose(self) -> ComposeResult:
        """Create the widgets."""
        yield self._head
        with Horizontal(id="charts"):
            yield self._requests
            yield self._latency
        yield self._slots
        self._events.border_title = "events"
        yield self._events
        yield self._outcome
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Start the threads and the timer."""
        self._slots.focus()
        self._link.start()
        self.set_interval(_EVERY, self._poll)

    def on_unmount(self) -> None:
        """Stop the threads and close the files."""
        self._link.close()
        self._usage.close()
        self._close_board()

    @on(link.Connected)
    def connected(self) -> None:
        """Start from the beginning with a daemon that has just been reached."""
        if self._gone:
            self._show_message(f"{self._daemon} is running again", GREEN)
        self._gone, self._figures = False, Figures()
        self._close_board()
        try:
            self._board = open_scoreboard(self._client)
        except SystemFailure as error:
            self._show_message(str(error), RED)
        self._link.request_status()
        self._poll()

    @on(link.Disconnected)
    def disconnected(self) -> None:
        """Show that the daemon has ended, and wait for the next one."""
        if self._gone:
            return
        self._gone = True
        self._close_board()
        self._figures = Figures()
        self._chart()
        self._show_message(f"{self._daemon} ended at {time.strftime('%H:%M:%S')}", AMBER)
        self._slots.show_notice(f"{self._daemon} has ended; waiting for its next start")
        self._draw_head()

    @on(link.EventsReceived)
    def events_received(self) -> None:
        """Show new events, and request the new state of the slots."""
        events = []
        while self._link.events:
            events.append(self._link.events.popleft())
        self._events.add(events)
        self._link.request_status()

    @on(link.StatusReceived)
    def status_received(self, message: link.StatusReceived) -> None:
        """Show the slots."""
        if not self._gone:
            self._status = message.status
            self._daemon = message.status["name"]
            self._draw()

    @on(link.RequestFailed)
    def request_failed(self, message: link.RequestFailed) -> None:
        """Show the error."""
        self._show_message(message.text, RED)

    @on(link.CommandProgress)
    def command_progress(self, message: link.CommandProgress) -> None:
        """Show the progress of a command."""
        self._show_message(f"{message.what}: {message.text}", AMBER)

    @on(link.CommandEnded)
    def command_ended(self, message: link.CommandEnded) -> None:
        """Show the outcome of a command, with the application's traceback in a dialog."""
        first, _, report = message.text.partition("\n")
        text = first if message.what.split()[0] in first else f"{message.what}: {first}"
        self._show_message(f"{'✓' if message.ok else '✗'} {text}", GREEN if message.ok else RED)
        if report:
            lines = "\n".join(map(printable, message.text.splitlines()))
            self.push_screen(TextDialog(f"{message.what} {'done' if message.ok else 'failed'}", Text(lines)))

    @on(link.DetailsReceived)
    def details_received(self, message: link.DetailsReceived) -> None:
        """Show the history or the stacks of a slot."""
        found = message.found
        text = stacks(found["stacks"]) if "stacks" in found else explained(found)
        self.push_screen(TextDialog(message.subject, text))

    def action_reload(self) -> None:
        """Import the application again and replace every worker."""
        self._command("reload", self._client.reload)

    def action_restart(self) -> None:
        """Replace the chosen slot's worker."""
        if slot := self._slots.chosen:
            self._command(f"restart {slot}", lambda each: self._client.restart(slot, each))

    def action_explain(self) -> None:
        """Show the chosen slot's history."""
        if slot := self._slots.chosen:
            self._link.fetch_details(slot, lambda: self._client.explain(slot))

    def action_stacks(self) -> None:
        """Show the stacks of the chosen slot's workers."""
        if slot := self._slots.chosen:
            self._link.fetch_details(slot, lambda: {"stacks": self._client.stacks(slot)})

    def action_help(self) -> None:
        """Show what the columns and the keys are."""
        self.push_screen(TextDialog("columns and keys", guide.page()))

    def action_scale(self) -> None:
        """Ask for a new size of the chosen slot's pool, or of the only pool."""
        pools = {pool["pool"]: pool for pool in (self._status["pools"] if self._status else ())}
        chosen = (self._slots.chosen or "").partition("/")[0]
        pool = pools.get(chosen) or (next(iter(pools.values())) if len(pools) == 1 else None)
        if pool is None:
            text = "choose a slot of a pool first" if pools else "nothing to scale: the plan has no pool"
            self._show_message(text, AMBER)
            return
        name = pool["pool"]

        def scale(size: str | None) -> None:
            if size is not None:
                number: int | Literal["auto"] = "auto" if size == "auto" else int(size)
                self._command(f"scale {name} {size}", lambda each: self._client.scale(name, number, each))

        self.push_screen(ScaleDialog(name, pool["size"], pool["min"], pool["max"]), scale)

    def _command(self, what: str, command: Callable[[Each], str]) -> None:
        if self._gone:
            self._show_message(f"{self._daemon} is not running", AMBER)
        else:
            self._link.command(what, command)

    def _poll(self) -> None:
        """Read the scoreboard."""
        if self._board is None:
            return
        reading = self._board.read()
        self._figures.add(reading)
        self._draw(poll=True)
        self._chart()

    def _chart(self) -> None:
        requests, slow = self._figures.requests, self._figures.slow
        most = max(requests, default=0.0)
        longest = max((each for each in slow if each is not None), default=None)
        now = short_number(requests[-1]) if requests else "-"
        self._requests.show(tuple(requests), now, f"peak {short_number(most)}")
        found = self._figures.traffic()
        now = " ".join(f"{name} {precise_duration(value)}" for name, value in found.latency.items())
        self._latency.show(tuple(slow), now, f"peak {precise_duration(longest)}")
        self._head.show_traffic(found, backlogs())

    def _draw(self, poll: bool = False) -> None:
        """Draw the slots; with `poll` read their CPU time and memory from /proc first."""
        self._draw_head()
        if self._status is None or self._gone:
            return
        table = self._slots
        lines = self._figures.lines(self._status, time.time())
        if poll:
            self._used = self._usage.read([line.pid for line in lines[table.window] if line.pid is not None])
        busiest = max((max(line.trend, default=0.0) for line in lines), default=0.0)
        table.show(lines, self._used, RowContext(busiest, self._status["generation"]))
        self._divide(len(lines) + 1)

    def on_resize(self) -> None:
        """Divide the height again."""
        self.call_after_refresh(lambda: self._divide(self._slots.virtual_size.height))

    def _divide(self, needed: int) -> None:
        """Give the table the height that it needs, but keep a quarter of both for the events."""
        table = self._slots
        both = table.outer_size.height + self._events.outer_size.height
        height = min(needed, both - max(5, both // 4))
        if height > 0 and table.outer_size.height != height:
            table.styles.height = height

    def _draw_head(self) -> None:
        self._head.show(self._daemon, self._status, time.time(), self._gone)

    def _show_message(self, text: str, colour: str) -> None:
        self._outcome.update(Text(printable(text), colour, no_wrap=True, overflow="ellipsis"))

    def _close_board(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None
