"""Client, scheme and port as a trusted proxy reports them, in place of the proxy's own.

Read are `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Port`. `Forwarded` (RFC 7239) counts only where neither
of the first two is there: a proxy that sets one family passes on what a client has written into the other.
`X-Request-Start` is read on the way, for the scoreboard (`queued`).

The client is the rightmost address that is not trusted, or the first where all are: what stands left of it is of the
client's own making, and is not read. A header that is malformed up to there is ignored as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from .queued import START
from .trusted import Trusted, parsed

if TYPE_CHECKING:
    from .. import Application

FOR, PROTO, PORT, FORWARDED = "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "forwarded"
_ALL = (FOR, PROTO, PORT, FORWARDED)
_NAMES = {name.encode(): name for name in (*_ALL, START)}
_VARIABLES = {"HTTP_" + name.upper().replace("-", "_"): name for name in (*_ALL, START)}
_SECURE = {"http": False, "https": True, "ws": False, "wss": True}
_LAST_PORT = 65535
_PAIR = re.compile(r"""[ \t]*([!#$%&'*+.^_`|~\w-]+)=(?:([!#$%&'*+.^_`|~\w-]+)|"([^"\\]*)")[ \t]*""", re.ASCII)


_REMEMBERED, _LONGEST_REMEMBERED = 1024, 200
"""Reports that are kept, and the most characters of headers for which one is: strangers choose some of them."""


Queued = Callable[[str], None]


def _ignore(_start: str) -> None:
    """Count nothing: there is no scoreboard."""


class Report(NamedTuple):
    """What the proxies report; None, or port 0, is what they do not."""

    host: str | None = None
    port: int = 0
    secure: bool | None = None
    server_port: int | None = None


class Reports:
    """What the headers of requests report: a client's are the same again and again, and parsed once."""

    def __init__(self, trusted: Trusted, queued: Queued = _ignore) -> None:
        self.trusted = trusted
        self._queued = queued
        self._remembered = lru_cache(_REMEMBERED)(self._read)

    def of(self, texts: dict[str, str]) -> Report:
        """Return the report of one request. `texts`: name -> value, of several lines joined by commas."""
        if (start := texts.pop(START, None)) is not None:
            self._queued(start)
        known = sum(map(len, texts.values())) <= _LONGEST_REMEMBERED
        return (self._remembered if known else self._read)(*map(texts.get, _ALL))

    def _read(self, *values: str | None) -> Report:
        return read({name: value for name, value in zip(_ALL, values, strict=True) if value is not None}, self.trusted)


def asgi(application: Application, trusted: Trusted, queued: Queued = _ignore) -> Application:
    """Return an ASGI application behind proxies; a request without their headers costs a look at each name.

    `queued` takes the moment at which a request has come to the proxy, as the proxy has written it.
    """
    reports = Reports(trusted, queued)

    def request(scope: Any, receive: Any, send: Any) -> Any:
        for name, _ in scope.get("headers", ()):  # A lifespan has none.
            if name in _NAMES:
                _change_scope(scope, reports)
                break
        return application(scope, receive, send)

    return request


def wsgi(application: Application, trusted: Trusted, queued: Queued = _ignore) -> Application:
    """Return a WSGI application behind proxies."""
    reports = Reports(trusted, queued)

    def request(environ: dict[str, Any], start_response: Any) -> Any:
        for variable in _VARIABLES:
            if variable in environ:
                _change_environ(environ, reports)
                break
        return application(environ, start_response)

    return request


def _change_scope(scope: dict[str, Any], reports: Reports) -> None:
    if (client := scope.get("client")) and not reports.trusted.peer(client[0]):
        return
    texts: dict[str, str] = {}
    for name, value in scope["headers"]:
        if (key := _NAMES.get(name)) is not None:
            text = value.decode("latin-1")
            texts[key] = f"{texts[key]},{text}" if key in texts else text
    report = reports.of(texts)
    if report.host is not None:
        scope["client"] = (report.host, report.port)
    if report.secure is not None:
        plain = "ws" if scope["type"] == "websocket" else "http"
        scope["scheme"] = f"{plain}s" if report.secure else plain
    if report.server_port is not None and (server := scope.get("server")) and server[1]:
        scope["server"] = (server[0], report.server_port)


def _change_environ(environ: dict[str, Any], reports: Reports) -> None:
    if not reports.trusted.peer(environ.get("REMOTE_ADDR", "")):
        return
    texts = {name: environ[variable] for variable, name in _VARIABLES.items() if variable in environ}
    report = reports.of(texts)
    if report.host is not None:
        environ["REMOTE_ADDR"] = report.host
        environ.pop("REMOTE_PORT", None)
        if report.port:
            environ["REMOTE_PORT"] = str(report.port)
        if "REMOTE_HOST" in environ:  # waitress has the address there, too.
            environ["REMOTE_HOST"] = report.host
    if report.secure is not None:
        environ["wsgi.url_scheme"] = "https" if report.secure else "http"
        environ.pop("HTTPS", None)
        if report.secure:
            environ["HTTPS"] = "on"
    if report.server_port is not None:
        environ["SERVER_PORT"] = str(report.server_port)


def read(texts: dict[str, str], trusted: Trusted) -> Report:
    """Return what the headers of one request report. `texts`: name -> value, of several lines joined by commas."""
    if FOR not in texts and PROTO not in texts:
        return _of_forwarded(texts.get(FORWARDED, ""), trusted)._replace(server_port=_port(texts.get(PORT, "")))
    hops = texts.get(FOR, "").split(",")
    host, port, at = None, 0, -1
    for at in range(len(hops) - 1, -1, -1):
        address, port = _node(hops[at].strip())
        host = None if address is None else str(address)
        if address is None or address not in trusted:
            break
    scheme = _at(texts.get(PROTO, ""), at, len(hops)).lower()
    return Report(host, port, _SECURE.get(scheme), _port(_at(texts.get(PORT, ""), at, len(hops))))


def _at(text: str, position: int, length: int) -> str:
    """Return the only value of a header, or that of a hop where there is one for each; else nothing."""
    values = text.split(",")
    if len(values) > 1 and len(values) != length:
        return ""
    return values[position if len(values) > 1 else 0].strip()


def _of_forwarded(text: str, trusted: Trusted) -> Report:
    report = Report()
    # A comma in a quoted value would be no address, scheme or name, and what a client left open must not swallow the
    # proxy's own element: so each comma separates.
    for element in reversed(text.split(",")):
        pairs = _pairs(element)
        if pairs is None:
            return Report()
        address, port = _node(pairs.get("for", ""))
        report = Report(None if address is None else str(address), port, _SECURE.get(pairs.get("proto", "").lower()))
        if address is None or address not in trusted:
            break
    return report


def _pairs(element: str) -> dict[str, str] | None:
    """Return the parameters of one proxy; None where they are malformed."""
    found: dict[str, str] = {}
    for part in element.split(";"):
        pair = _PAIR.fullmatch(part)
        if pair is None or pair[1].lower() in found:
            return None
        found[pair[1].lower()] = pair[2] or pair[3] or ""
    return found


def _node(text: str) -> tuple[Any, int]:
    """Return address and port (0: none) of `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.

    The address is None for any other text: `unknown`, a name, a number that is no port.
    """
    host, colon, port = text, "", ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if not bracket or ":" not in host or colon not in ("", ":"):
            return None, 0
    elif text.count(":") == 1:
        host, colon, port = text.partition(":")
    number = _port(port) if colon else 0
    address = parsed(host)
    return (None, 0) if address is None or number is None else (address, number)


def _port(text: str) -> int | None:
    if text.isascii() and text.isdecimal() and len(text) <= len(str(_LAST_PORT)) and 0 < int(text) <= _LAST_PORT:
        return int(text)
    return None
