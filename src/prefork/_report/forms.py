"""The formats of the log: text for people, or one JSON object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from time import localtime, strftime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .._records.record import record

if TYPE_CHECKING:
    from .news import News
    from .sentences import Tone

Clock = Callable[[], float]
Stream = Literal["stdout", "stderr"]

_COLOURS: Mapping[Tone, str] = {"good": "32", "bad": "31", "plain": "", "faint": "2"}
_INDENT = "\n    "
_OBEYED = re.compile(rb"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]|\xc2[\x80-\x9f]")
"""What a terminal obeys in the output of another process, except for colours."""
_HUES = (36, 33, 35, 32, 34)
"""Terminal colours by which the lines of different processes are told apart."""


@record
class Origin:
    """The process that wrote a line: a worker by its key, or `mold`, or `watcher`, which has no generation (0)."""

    name: str
    pid: int
    generation: int


class Form(Protocol):
    """The format of the log; each method returns whole lines."""

    def message(self, text: str) -> bytes:
        """Return a message of the master."""

    def event(self, news: News) -> bytes:
        """Return an event."""

    def output(self, lines: bytes, origin: Origin, stream: Stream) -> bytes:
        """Return whole lines of another process, with their origin."""


@record
class Text:
    """For people. `clock` returns the seconds since 1970; with it, each line begins with the time."""

    coloured: bool = False
    clock: Clock | None = None

    def message(self, text: str) -> bytes:
        """See `Form`. What follows the first line is indented, so that a report cannot pass for a line of ours."""
        return (self._date() + text.replace("\n", _INDENT) + "\n").encode("utf-8", "backslashreplace")

    def event(self, news: News) -> bytes:
        """See `Form`."""
        first, newline, report = news.text.partition("\n")
        colour = _COLOURS[news.tone] if self.coloured else ""
        return self.message(f"\033[{colour}m{first}\033[0m{newline}{report}" if colour else news.text)

    def output(self, lines: bytes, origin: Origin, stream: Stream) -> bytes:
        """See `Form`."""
        generation = f" g{origin.generation}" if origin.generation else ""
        source = f"{origin.name}{generation} {origin.pid} |"
        if self.coloured:
            source = f"\033[{_HUES[sum(origin.name.encode()) % len(_HUES)]}m{source}\033[0m"
        mark = f"{self._date()}{source} ".encode()
        lines = _OBEYED.sub(b"?", lines.replace(b"\r\n", b"\n"))
        return mark + lines[:-1].replace(b"\n", b"\n" + mark) + b"\n"

    def _date(self) -> str:
        if self.clock is None:
            return ""
        now = self.clock()
        return f"{strftime('%Y-%m-%dT%H:%M:%S', localtime(now))}.{int(now % 1 * 1000):03d}{strftime('%z')} "


@record
class Json:
    """For programs: an object a line, with its `time` in seconds since 1970, by `clock`, and its `event`."""

    clock: Clock

    def message(self, text: str) -> bytes:
        """See `Form`. What follows the first line is the `report`."""
        first, _, rest = text.partition("\n")
        return self._line({"event": "message", "text": first, **({"report": rest} if rest else {})})

    def event(self, news: News) -> bytes:
        """See `Form`. The record as in the control protocol, and the text."""
        first, _, report = news.text.partition("\n")
        return self._line({**news.record, "text": first, **({"report": report} if report else {})})

    def output(self, lines: bytes, origin: Origin, stream: Stream) -> bytes:
        """See `Form`."""
        place = "process" if origin.name in ("mold", "watcher") else "slot"
        of = {"event": "output", place: origin.name, "pid": origin.pid, "generation": origin.generation}
        texts = lines[:-1].decode("utf-8", "backslashreplace").split("\n")
        return b"".join(self._line({**of, "stream": stream, "text": text}) for text in texts)

    def _line(self, fields: dict[str, Any]) -> bytes:
        return json.dumps({"time": round(self.clock(), 3), **fields}, separators=(",", ":")).encode() + b"\n"
