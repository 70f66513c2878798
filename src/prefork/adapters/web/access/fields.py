"""The fields of a line, each a function that returns its text."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from .escape import json_text, quotable
from .exchange import Exchange
from .source import Source, Text, response_header, user_of

Field = Callable[[Exchange], str]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CUT = "..."


def by_name(source: Source, worker: str) -> dict[str, Field]:
    """Return the fields of a template, by their names; `worker` is the slot's key."""
    clock, pid = Clock(), f"<{os.getpid()}>"
    method, path, query, protocol = source.method, source.path, source.query, source.protocol

    def request(exchange: Exchange) -> str:
        asked = query(exchange)
        target = f"{path(exchange)}?{asked}" if asked else path(exchange)
        return _shown(exchange, f"{method(exchange)} {target} {protocol(exchange)}")

    return {
        "h": _or_dash(source.client),
        "l": lambda exchange: "-",
        "u": _or_dash(user_of(source.header("authorization"))),
        "t": clock.common,
        "r": request,
        "m": lambda exchange: _shown(exchange, method(exchange)),
        "U": lambda exchange: _shown(exchange, path(exchange)),
        "q": lambda exchange: _shown(exchange, query(exchange)),
        "H": protocol,
        "s": lambda exchange: str(exchange.status),
        "B": lambda exchange: str(exchange.size or 0),
        "b": lambda exchange: str(exchange.size or "-"),
        "f": _or_dash(source.header("referer")),
        "a": _or_dash(source.header("user-agent")),
        "T": lambda exchange: str(int(exchange.seconds)),
        "M": lambda exchange: str(int(exchange.seconds * 1e3)),
        "D": lambda exchange: str(int(exchange.seconds * 1e6)),
        "L": lambda exchange: f"{exchange.seconds:.6f}",
        "p": lambda exchange: pid,
        "worker": lambda exchange: worker,
        "request_id": _or_dash(lambda exchange: exchange.id),
    }


def header(source: Source, field: str) -> Field:
    """Return the field `{NAME}i` or `{NAME}o` of a template: a header of the request, or of the answer."""
    name = field[1:-2]
    return _or_dash(source.header(name) if field.endswith("i") else response_header(name))


def of_json(source: Source, worker: str) -> dict[str, Field]:
    """Return the fields of an object, in their order."""
    texts = {
        "client": source.client,
        "user": user_of(source.header("authorization")),
        "method": source.method,
        "path": source.path,
        "query": source.query,
        "protocol": source.protocol,
        "referrer": source.header("referer"),
        "agent": source.header("user-agent"),
        "request_id": lambda exchange: exchange.id,
    }
    fields: dict[str, Field] = {name: _json(read) for name, read in texts.items()}
    fields["time"] = lambda exchange: f"{time.time():.3f}"
    fields["status"] = lambda exchange: str(exchange.status)
    fields["bytes"] = lambda exchange: "null" if exchange.size is None else str(exchange.size)
    fields["duration"] = lambda exchange: f"{exchange.seconds:.6f}"
    fields["worker"] = lambda exchange: f'"{worker}"'
    order = "time client user method path query protocol status bytes duration referrer agent worker request_id"
    return {name: fields[name] for name in order.split()}


class Clock:
    """The local time as the common log format has it, made once a second."""

    def __init__(self) -> None:
        self._second, self._text = -1, ""

    def common(self, exchange: Exchange) -> str:
        """Return the time now."""
        return self.at(int(time.time()))

    def at(self, second: int) -> str:
        """Return a time in seconds since 1970 such as `[10/Oct/2026:13:55:36 -0700]`."""
        if second != self._second:
            at = time.localtime(second)
            offset = at.tm_gmtoff // 60
            zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}{abs(offset) % 60:02}"
            clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
            # Not strftime, whose months are those of the application's locale.
            self._text = f"[{at.tm_mday:02}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year}:{clock} {zone}]"
            self._second = second
        return self._text


def _or_dash(read: Text) -> Field:
    return lambda exchange: _shown(exchange, text) if (text := read(exchange)) else "-"


def _json(read: Text) -> Field:
    return lambda exchange: "null" if (text := read(exchange)) is None else json_text(_cut(exchange, text))


def _shown(exchange: Exchange, text: str) -> str:
    # Most texts are plain, and a function more for each would be a tenth of the line's cost.
    if len(text) <= exchange.most and text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return quotable(_cut(exchange, text))


def _cut(exchange: Exchange, text: str) -> str:
    return text if len(text) <= exchange.most else text[: exchange.most] + _CUT
