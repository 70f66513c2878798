"""The page itself: what lies where, what the keys do, and what becomes of what the link tells."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Footer, Static

from ..._errors import SystemFailure
from ..._report.units import precise_duration, short_number
from ..._wire.printable import printable
from ...client import Client, Each
from ...scoreboard import Board, open_scoreboard
from . import link as at
from .charts import Chart
from .columns import Frame, Use
from .dialogs import Reading, Scaling
from .events import EventPane
from .figures import Figures
from .heading import Head
from .palette import AMBER, CHOSEN, DIM, FAINT, GREEN, GROUND, RAISED, RED, RULE, TEXT
from .table import Slots
from .texts import explained, stacks
from .uses import Uses

_EVERY = 1.0
"""Seconds between two looks at the scoreboard."""


class Top(App[None]):
    """What one daemon does, now."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [
        Binding("r", "reload", "reload"),
        Binding("s", "scale", "scale"),
        Binding("k", "restart", "restart slot"),
        Binding("e", "explain", "explain"),
        Binding("x", "stacks", "stacks"),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),  # Above textual's own, which only tells of another key.
    ]
    CSS = f"""
    Screen {{ background: {GROUND}; color: {TEXT}; }}
    Head {{ background: {RAISED}; }}
    #charts {{ height: 3; padding: 0 1; }}
    #charts Chart {{ width: 1fr; height: 100%; }}
    #latency {{ margin-left: 2; }}
    Slots {{ margin-top: 1; background: {GROUND}; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        overflow-x: hidden; }}
    EventPane {{
        height: 1fr; border-top: solid {RULE}; border-title-color: {FAINT}; background: {GROUND};
        scrollbar-size-vertical: 1; overflow-x: hidden;
    }}
    Slots, EventPane, .reading {{
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
        self._link = at.Link(client, self.post_message)
        self._daemon = os.path.basename(client.directory)
        self._status: dict[str, Any] | None = None
        self._board: Board | None = None
        self._gone = False
        self._figures, self._uses = Figures(), Uses()
        # Kept at hand: messages may still come when the page is being taken apart, and nothing is found there any more.
        self._head, self._slots, self._happenings, self._outcome = Head(), Slots(), EventPane(), Static(id="outcome")
        self._requests = Chart("requests/s", "#5aa9f0", "requests")
        self._latency = Chart("latency", "#4cc9a0", "latency")
        self._used: dict[int, Use] = {}  # as it was at the last look

    def compose(self) -> ComposeResult:
        """Lay the page out."""
        yield self._head
        with Horizontal(id="charts"):
            yield self._requests
            yield self._latency
        yield self._slots
        self._happenings.border_title = "events"
        yield self._happenings
        yield self._outcome
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin."""
        self._slots.focus()
        self._link.start()
        self.set_interval(_EVERY, self._look)

    def on_unmount(self) -> None:
        """Let go of all that is held."""
        self._link.close()
        self._uses.close()
        self._leave_board()

    @on(at.Back)
    def back(self) -> None:
        """The daemon is there: begin with it anew."""
        if self._gone:
            self._say(f"{self._daemon} is back", GREEN)
        self._gone, self._figures = False, Figures()
        self._leave_board()
        try:
            self._board = open_scoreboard(self._client)
        except SystemFailure as error:
            self._say(str(error), RED)
        self._link.ask()
        self._look()

    @on(at.Gone)
    def gone(self) -> None:
        """The daemon has ended: say so, and leave the page as one that waits."""
        if self._gone:
            return
        self._gone = True
        self._leave_board()
        self._figures = Figures()
        self._chart()
        self._say(f"{self._daemon} ended at {time.strftime('%H:%M:%S')}", AMBER)
        self._slots.say(f"{self._daemon} has ended; waiting for it to come back")
        self._draw_head()

    @on(at.Happened)
    def happened(self) -> None:
        """Show what has happened, and ask what has become of the slots."""
        events = []
        while self._link.events:
            events.append(self._link.events.popleft())
        self._happenings.add(events)
        self._link.ask()

    @on(at.Seen)
    def seen(self, message: at.Seen) -> None:
        """Show the slots."""
        if not self._gone:
            self._status = message.status
            self._daemon = message.status["name"]
            self._draw()

    @on(at.Trouble)
    def trouble(self, message: at.Trouble) -> None:
        """Say what is wrong."""
        self._say(message.text, RED)

    @on(at.Under)
    def under(self, message: at.Under) -> None:
        """Say how far a command has come."""
        self._say(f"{message.what}: {message.text}", AMBER)

    @on(at.Outcome)
    def outcome(self, message: at.Outcome) -> None:
        """Say how a command has ended; where an application's report belongs to it, show that."""
        first, _, report = message.text.partition("\n")
        said = first if message.what.split()[0] in first else f"{message.what}: {first}"
        self._say(f"{'✓' if message.ok else '✗'} {said}", GREEN if message.ok else RED)
        if report:
            lines = "\n".join(map(printable, message.text.splitlines()))
            self.push_screen(Reading(f"{message.what} {'done' if message.ok else 'failed'}", Text(lines)))

    @on(at.Answered)
    def answered(self, message: at.Answered) -> None:
        """Show what was asked for about a slot."""
        found = message.found
        text = stacks(found["stacks"]) if "stacks" in found else explained(found)
        self.push_screen(Reading(message.subject, text))

    def action_reload(self) -> None:
        """Import the application anew, and replace every worker."""
        self._command("reload", self._client.reload)

    def action_restart(self) -> None:
        """Replace the chosen slot's worker."""
        if slot := self._slots.chosen:
            self._command(f"restart {slot}", lambda each: self._client.restart(slot, each))

    def action_explain(self) -> None:
        """Show the chosen slot's history."""
        if slot := self._slots.chosen:
            self._link.find(slot, lambda: self._client.explain(slot))

    def action_stacks(self) -> None:
        """Show where the threads of the chosen slot's workers are."""
        if slot := self._slots.chosen:
            self._link.find(slot, lambda: {"stacks": self._client.stacks(slot)})

    def action_scale(self) -> None:
        """Ask for the size of a pool: the chosen slot's, where it is in one."""
        pools = {pool["kind"]: pool for pool in (self._status or {}).get("pools", ())}
        chosen = (self._slots.chosen or "").partition("/")[0]
        pool = pools.get(chosen) or (next(iter(pools.values())) if len(pools) == 1 else None)
        if pool is None:
            self._say("choose a slot of a pool first" if pools else "there is no pool: nothing can be scaled", AMBER)
            return
        kind = pool["kind"]

        def scale(size: str | None) -> None:
            if size is not None:
                number: int | Literal["auto"] = "auto" if size == "auto" else int(size)
                self._command(f"scale {kind} {size}", lambda each: self._client.scale(kind, number, each))

        self.push_screen(Scaling(kind, pool["size"], pool["min"], pool["max"]), scale)

    def _command(self, what: str, command: Callable[[Each], str]) -> None:
        if self._gone:
            self._say(f"{self._daemon} does not run", AMBER)
        else:
            self._link.command(what, command)

    def _look(self) -> None:
        """Read the scoreboard."""
        if self._board is None:
            return
        reading = self._board.read()
        self._figures.take(reading)
        self._draw(look=True)
        self._chart()

    def _chart(self) -> None:
        requests, means = self._figures.requests, self._figures.means
        most = max(requests, default=0.0)
        longest = max((mean for mean in means if mean is not None), default=None)
        now = short_number(requests[-1]) if requests else "-"
        self._requests.show(tuple(requests), now, f"peak {short_number(most)}")
        now = precise_duration(means[-1] if means else None)
        self._latency.show(tuple(means), now, f"peak {precise_duration(longest)}")

    def _draw(self, look: bool = False) -> None:
        """Draw the slots; with `look` as /proc says now what they use."""
        self._draw_head()
        if self._status is None or self._gone:
            return
        table = self._slots
        lines = self._figures.lines(self._status, time.time())
        if look:
            self._used = self._uses.look([line.pid for line in lines[table.window] if line.pid is not None])
        busiest = max((max(line.trend, default=0.0) for line in lines), default=0.0)
        table.show(lines, self._used, Frame(busiest, self._status["generation"]))
        self._share(len(lines) + 1)

    def on_resize(self) -> None:
        """Share the room out anew."""
        self.call_after_refresh(lambda: self._share(self._slots.virtual_size.height))

    def _share(self, wished: int) -> None:
        """Give the table what it needs, but leave to the events a quarter of what both have."""
        table = self._slots
        both = table.outer_size.height + self._happenings.outer_size.height
        height = min(wished, both - max(5, both // 4))
        if height > 0 and table.outer_size.height != height:
            table.styles.height = height

    def _draw_head(self) -> None:
        self._head.show(self._daemon, self._status, time.time(), self._gone)

    def _say(self, text: str, colour: str) -> None:
        self._outcome.update(Text(printable(text), colour, no_wrap=True, overflow="ellipsis"))

    def _leave_board(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None
