"""Lines of the access log in one format, which is put together once in each worker."""

from __future__ import annotations

from ...._options.listed.access import FORMATS, pieces
from . import fields
from .exchange import Exchange
from .source import Source, taken_over

_REQUEST_ID = "x-request-id"
_LEAST = 8
"""Characters that are left of each text in a line that is cut; with more fields than have room so, its end is cut."""


class Lines:
    """What makes the lines; `most` is how many bytes one may have, None for any number."""

    def __init__(self, format_: str, source: Source, worker: str, most: int | None) -> None:
        self._source = source
        self._most = most
        if format_ == "json":
            known = fields.of_json(source, worker)
            self._text = "{" + ",".join(f'"{name}":%s' for name in known) + "}\n"
            self._fields = list(known.values())
            names = list(known)
        else:
            known = fields.by_name(source, worker)
            parts = list(pieces(FORMATS.get(format_, format_)))
            names = [name for _, name in parts if name]
            self._text = "%s".join(text.replace("%", "%%") for text, _ in parts) + "\n"
            self._fields = [known.get(name) or fields.header(source, name) for name in names]
        self._has_id = "request_id" in names
        self._client_id = source.header(_REQUEST_ID)

    def begun(self, exchange: Exchange) -> None:
        """Give a request its identifier where the lines have one: the application finds it as X-Request-ID."""
        if self._has_id:
            given = self._client_id(exchange)
            exchange.id = taken_over(given)
            if exchange.id != given:
                self._source.set_header(exchange, _REQUEST_ID, exchange.id)

    def line(self, exchange: Exchange) -> bytes:
        """Return the line about an exchange that is over. Texts of the client are cut where it would be too long."""
        line = self._made(exchange)
        if self._most is None or len(line) <= self._most:
            return line
        exchange.most = self._most // 2
        while len(line := self._made(exchange)) > self._most and exchange.most > _LEAST:
            exchange.most //= 2
        return line if len(line) <= self._most else line[: self._most - 1] + b"\n"

    def _made(self, exchange: Exchange) -> bytes:
        return (self._text % tuple([field(exchange) for field in self._fields])).encode("utf-8", "backslashreplace")
