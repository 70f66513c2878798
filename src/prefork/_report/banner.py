"""The banner: what a daemon logs at its start and when it is ready.

A few aligned lines on a terminal, elsewhere one line each: a log is read by the line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from .._records.record import record
from .units import counted

if TYPE_CHECKING:
    from .._core.plan import Listener, Plan

Style = Literal["line", "plain", "colour"]
"""One line, or a block without or with colours."""

_BOLD, _DIM, _GREEN, _LINK = "1", "2", "32", "36;4"
_LABELS = 12  # columns


@record
class Start:
    """What is known before anything runs. `python`: its version; `file`: of the options, None for none."""

    name: str
    pid: int
    target: str
    python: str
    file: str | None


def opening(start: Start, style: Style) -> str:
    """Return the first message, before the application is imported."""
    if style == "line":
        options = f", options from {start.file}" if start.file else ""
        facts = f"pid {start.pid}, Python {start.python}, {start.target}{options}"
        return f"prefork: {start.name}: starting ({facts})"
    rows = [("target", start.target), ("pid", str(start.pid)), ("python", start.python)]
    if start.file:
        rows.append(("options", start.file))
    title = f"{_paint(start.name, _BOLD, style)} {_paint('by prefork', _DIM, style)}"
    return "\n".join(["", f"  {title}", "", *_block(rows, style)])


class Welcome:
    """What is logged, once, when the daemon is ready. `started` is of the clock of `text`."""

    def __init__(self, name: str, style: Style, started: float) -> None:
        self._name = name
        self._style = style
        self._started = started
        self._plan: Plan | None = None
        self._about: Mapping[str, str] = {}
        self._shown = False

    @property
    def is_block(self) -> bool:
        """Whether it is a block of lines on a terminal."""
        return self._style != "line"

    @property
    def shows_addresses(self) -> bool:
        """Whether a block with the addresses is still to come, so that no line of the log names them first."""
        return self.is_block and not self._shown

    def planned(self, plan: Plan, about: Mapping[str, str]) -> None:
        """Note the first plan, and what the mold has found out about the application (`about`)."""
        if self._plan is None:
            self._plan, self._about = plan, about

    @property
    def due(self) -> bool:
        """Whether there is a plan and the text was not returned yet."""
        return self._plan is not None and not self._shown

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The listeners of the first plan."""
        return self._plan.listeners if self._plan else ()

    def text(self, addresses: Sequence[str], now: float) -> str:
        """Return the text, to be logged once; `addresses`: the actual ones of the listeners, in their order."""
        self._shown = True
        assert self._plan is not None
        scheme = self._about.get("web")
        aside = [each for each, one in zip(addresses, self.listeners, strict=False) if one.auxiliary]
        addresses = [each for each in addresses if each not in aside]
        shown = [clickable(each, scheme) for each in addresses] if scheme else list(addresses)
        what, server = self._about.get("application", "Daemon"), self._about.get("server")
        kinds = (self._plan.kind(entry.kind) for entry in self._plan.wanted({}).values())
        counts = Counter(kind.name for kind in kinds if not kind.auxiliary)
        crew = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none"
        if self._style == "line":
            parts = [f"{what} on {server}" if server else what, f"workers: {crew}", *shown]
            parts += [f"agent: {clickable(each)}" for each in aside]
            return f"prefork: {self._name}: ready ({', '.join(parts)})"
        rows = [("application", what), *([("server", server)] if server else []), ("workers", crew)]
        links = [_paint(each, _LINK, self._style) for each in shown]
        rows += [("listening" if number == 0 else "", link) for number, link in enumerate(links)]
        rows += [("agent", _paint(clickable(each), _LINK, self._style)) for each in aside]
        done = _paint(f"ready in {now - self._started:.1f} s", _GREEN, self._style)
        hint = _paint("Ctrl-C stops, SIGHUP reloads", _DIM, self._style)
        return "\n".join([*_block(rows, self._style), "", f"  {done}   {hint}", ""])


def clickable(address: str, spoken: str = "http") -> str:
    """Return an address as a link; `spoken`: `http` or `https`."""
    scheme, _, rest = address.partition("://")
    return {"tcp": f"{spoken}://", "unix": "unix:"}.get(scheme, f"{scheme}://") + rest


_MOST = 5
"""Slots that a line names."""


def waiting_for(living: Mapping[str, int]) -> str:
    """Return what a stop waits for; `living`: requests in flight by slot. Empty if no process is left."""
    busy = {key: count for key, count in living.items() if count}
    count = counted(sum(busy.values()), "request") if busy else counted(len(living), "worker")
    keys = list(busy or living)
    more = f" and {len(keys) - _MOST} more" if len(keys) > _MOST else ""
    return f"waiting for {count} ({', '.join(keys[:_MOST])}{more})" if keys else ""


def _block(rows: Iterable[tuple[str, str]], style: Style) -> list[str]:
    return [f"  {_paint(label.ljust(_LABELS), _DIM, style)}{value}" for label, value in rows]


def _paint(text: str, code: str, style: Style) -> str:
    return f"\033[{code}m{text}\033[0m" if style == "colour" and text.strip() else text
