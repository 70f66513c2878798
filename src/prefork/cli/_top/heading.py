"""The top of the page: the daemon, its state, and a band with a place for each slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from ..._linux.listening.backlogs import Backlog
from ..._report import baking
from ..._report.units import counted, duration, precise_duration
from ..._wire import keys
from ..._wire.printable import printable
from .._traffic import percent
from .figures import Traffic, served
from .palette import AMBER, DIM, FAINT, GREEN, GROUND, RAISED, RED, TEXT, generation, shade, style

_BAR = "━"
_MANY = 0.05
"""The share of errors from which on it is red."""


class Head(Widget):
    """Four lines: the daemon, its pools and molds, its addresses and errors, and the band."""

    DEFAULT_CSS = "Head { height: 4; }"

    def __init__(self) -> None:
        super().__init__()
        self._status: Mapping[str, Any] | None = None
        self._now = 0.0
        self._gone = False
        self._daemon = ""
        self._traffic = Traffic()
        self._backlogs: Mapping[str, Backlog] = {}

    def show(self, name: str, status: Mapping[str, Any] | None, now: float, gone: bool) -> None:
        """Show this daemon; `now` is in seconds since 1970."""
        self._daemon, self._status, self._now, self._gone = name, status, now, gone
        self.refresh()

    def show_traffic(self, traffic: Traffic, backlogs: Mapping[str, Backlog]) -> None:
        """Show what requests did, and the connections that wait, by address."""
        self._traffic, self._backlogs = traffic, backlogs
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one of the lines."""
        return self._line(y, self.size.width).apply_style(style(TEXT, RAISED))

    def _line(self, y: int, width: int) -> Strip:
        if self._status is None or self._gone:
            return self._absent(y, width)
        if y == 3:
            return Strip(band(self._status["slots"], width), width)
        left, right = (self._title, self._state, self._load)[y]()
        taken = sum(segment.cell_length for segment in right)
        strip = Strip(left).adjust_cell_length(max(0, width - taken))
        return Strip([*strip, *right]).adjust_cell_length(width)

    def _absent(self, y: int, width: int) -> Strip:
        texts = {0: f" {self._daemon} ", 3: _BAR * width}
        colour = TEXT if y == 0 else FAINT
        return Strip([Segment(texts.get(y, ""), style(colour, bold=y == 0))]).adjust_cell_length(width)

    def _title(self) -> tuple[list[Segment], list[Segment]]:
        status = self._status or {}
        ready, wanted = served(status)
        facts = [f"master {status['pid']}", f"up {duration(self._now - status['started'])}"]
        if status.get("python"):
            facts.append(f"Python {status['python']}")
        well = bool(wanted) and ready == wanted
        colour = GREEN if well else RED if ready < wanted else DIM
        counts = Segment(f"{ready}/{wanted} ready ", style(colour, bold=True))
        stopping = [Segment("stopping  ", style(AMBER, bold=True))] if status["stopping"] else []
        right = [*stopping, counts, Segment(" "), *self._generations()]
        room = self.size.width - sum(segment.cell_length for segment in right) - len(status["name"]) - 2
        left = [Segment(f" {status['name']} ", style(TEXT, bold=True)), Segment(_joined(facts, "  ", room), style(DIM))]
        return left, right

    def _generations(self) -> list[Segment]:
        """Return the generations that run, the newest last."""
        status = self._status or {}
        present = {slot["generation"] for slot in status["slots"] if slot["generation"] is not None}
        present |= {old["generation"] for slot in status["slots"] for old in slot["leaving"]}
        shown = sorted(present | {status["generation"]})[-3:]
        segments: list[Segment] = []
        for number in shown:
            if segments:
                segments.append(Segment(" → ", style(DIM)))
            segments.append(Segment(f" g{number} ", style(GROUND, generation(number), bold=True)))
        return [*segments, Segment(" ")]

    def _state(self) -> tuple[list[Segment], list[Segment]]:
        """Return the pools and molds; on the right the command that is executed."""
        status = self._status or {}
        facts = [f"pool {pool['pool']} {pool['size']} of {pool['min']}-{pool['max']}" for pool in status["pools"]]
        for mold in status["molds"]:
            state = counted(mold["spares"], "spare") if mold["state"] == "ready" else mold["state"]
            facts.append(f"mold g{mold['generation']}, {state}")
        changes = [change for change in [status["change"], *status["queue"]] if change]
        text = ""
        if changes:
            to_go = f", {changes[0]['left']} to go" if changes[0]["stage"] == "rolling" else ""
            waiting = f", {len(changes) - 1} waiting" if len(changes) > 1 else ""
            text = f"{changes[0]['what']}: {baking.short(changes[0], self._now)}{to_go}{waiting}  "
        left = _joined(facts, "   ", self.size.width - len(text))[2:]
        return [Segment(left, style(shade(DIM, FAINT, 0.3)))], [Segment(text, style(AMBER))]

    def _load(self) -> tuple[list[Segment], list[Segment]]:
        """Return the addresses with what waits there; on the right the shares of errors by generation."""
        right: list[Segment] = []
        for number, share in self._traffic.errors.items():
            text, colour = percent(share), RED if (share or 0) >= _MANY else AMBER if share else DIM
            right += [Segment(f" g{number} ", style(generation(number))), Segment(text, style(colour))]
        right = [Segment("5xx", style(DIM)), *right, Segment("  ")] if right else []
        room = self.size.width - sum(segment.cell_length for segment in right)
        left: list[Segment] = []
        for text, colour in self._waiting():
            if len(text) > room:
                text = f"{text[: room - 1]}…" if not left else ""
            room -= len(text)
            left.append(Segment(text, style(colour)))
        return left, right

    def _waiting(self) -> Iterator[tuple[str, str]]:
        """Yield the time in the queue, each address, and how many connections wait there, with their colours."""
        for listener in (self._status or {}).get("listeners", ()):
            if listener.get("auxiliary"):
                continue
            text, colour = f" {printable(listener['address'])} ", shade(DIM, FAINT, 0.3)
            if (found := self._backlogs.get(listener["address"])) is not None:
                text += f"{found.waiting}/{found.limit} waiting "
                colour = RED if 2 * found.longest >= found.limit else AMBER if found.waiting else colour
            yield text, colour
        if self._traffic.queue is not None:
            yield f" queue p95 {precise_duration(self._traffic.queue)} ", DIM


def _joined(facts: list[str], gap: str, room: int) -> str:
    """Return the facts that fit, with a gap before each."""
    text = ""
    for fact in facts:
        if len(text) + len(gap) + len(fact) < room:
            text += gap + fact
    return text


def band(slots: list[dict[str, Any]], width: int) -> list[Segment]:
    """Return one line with a place for each slot. Slots that share a place are shown as the worst of them."""
    ordered = sorted(slots, key=lambda slot: keys.order(slot["key"]))
    if not ordered:
        return [Segment(_BAR * width, style(FAINT))]
    colours = [_colour(slot) for slot in ordered]
    edges = [at * width // len(colours) for at in range(len(colours) + 1)]
    if len(colours) <= width // 3:
        return [
            segment
            for at, (_, colour) in enumerate(colours)
            for segment in (
                Segment(_BAR * (edges[at + 1] - edges[at] - 1), style(colour)),
                Segment(" ", style(FAINT)),
            )
        ]
    segments = []
    for cell in range(width):
        first = cell * len(colours) // width
        there = colours[first : max(first + 1, (cell + 1) * len(colours) // width)]
        segments.append(Segment(_BAR, style(max(there)[1])))
    return segments


def _colour(slot: dict[str, Any]) -> tuple[int, str]:
    """Return how bad a slot's state is, and its colour: that of the generation that serves, if one does."""
    if slot["state"] in ("degraded", "killed"):
        return 3, RED
    old = slot["leaving"][-1]["generation"] if slot["leaving"] else None
    if slot["state"] == "ready":
        return 0, generation(slot["generation"])
    if slot["serving"] and old is not None:
        return 1, shade(generation(old), GROUND, 0.4)
    if slot["state"] == "finished":
        return 0, FAINT
    return (1, shade(generation(slot["generation"]), GROUND, 0.55)) if slot["pid"] else (2, AMBER)
