"""What the log looks like: lines for people, or one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from time import localtime, strftime, time
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from .._core.news import News, Tone

Stream = Literal["stdout", "stderr"]

_COLOURS: Mapping[Tone, str] = {"good": "32", "bad": "31", "plain": "", "faint": "2"}
_HUES = (36, 33, 35, 32, 34)
"""Terminal colours that tell one process's lines from another's."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who wrote a line: a worker by its key, or `mold`, or `watcher`, which has no generation (0)."""

    name: str
    pid: int
    generation: int


class Form(Protocol):
    """How what is to be said is written; each method returns whole lines."""

    def said(self, text: str) -> bytes:
        """Return a text of the master's own."""

    def told(self, news: News) -> bytes:
        """Return one thing that has happened."""

    def output(self, lines: bytes, origin: Origin, stream: Stream) -> bytes:
        """Return what another process has written, whole lines, with who wrote it."""


@dataclass(frozen=True, slots=True)
class Text:
    """For people. `dated`: each line begins with the time, where nobody else adds it."""

    coloured: bool = False
    dated: bool = False

    def said(self, text: str) -> bytes:
        """See `Form`."""
        return f"{self._date()}{text}\n".encode("utf-8", "backslashreplace")

    def told(self, news: News) -> bytes:
        """See `Form`."""
        first, newline, report = news.text.partition("\n")
        colour = _COLOURS[news.tone] if self.coloured else ""
        return self.said(f"\033[{colour}m{first}\033[0m{newline}{report}" if colour else news.text)

    def output(self, lines: bytes, origin: Origin, stream: Stream) -> bytes:
        """See `Form`."""
        generation = f" g{origin.generation}" if origin.generation else ""
        who = f"{origin.name}{generation} {origin.pid} |"
        if self.coloured:
            who = f"\033[{_HUES[sum(origin.name.encode()) % len(_HUES)]}m{who}\033[0m"
        mark = f"{self._date()}{who} ".encode()
        return mark + lines[:-1].replace(b"\n", b"\n" + mark) + b"\n"

    def _date(self) -> str:
        if not self.dated:
            return ""
        now = time()
        return f"{strftime('%Y-%m-%dT%H:%M:%S', localtime(now))}.{int(now % 1 * 1000):03d}{strftime('%z')} "


class Json:
    """For programs: an object a line, with its `time` in seconds since 1970 and its `event`."""

    def said(self, text: str) -> bytes:
        """See `Form`. What follows the first line is the `report`."""
        first, _, rest = text.partition("\n")
        return _line({"event": "message", "text": first, **({"report": rest} if rest else {})})

    def told(self, news: News) -> bytes:
        """See `Form`. It is the record that watchers see, and the text."""
        first, _, report = news.text.partition("\n")
        return _line({**news.record, "text": first, **({"report": report} if report else {})})

    def output(self, lines: bytes, origin: Origin, stream: Stream) -> bytes:
        """See `Form`."""
        place = "process" if origin.name in ("mold", "watcher") else "slot"
        of = {"event": "output", place: origin.name, "pid": origin.pid, "generation": origin.generation}
        texts = lines[:-1].decode("utf-8", "backslashreplace").split("\n")
        return b"".join(_line({**of, "stream": stream, "text": text}) for text in texts)


def shows_colours(descriptor: int) -> bool:
    """Whether to write in colours there: https://no-color.org and dumb terminals are respected."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps({"time": round(time(), 3), **fields}, separators=(",", ":")).encode() + b"\n"
