"""The access log around a WSGI application.

The line about an answer in one list is made when the application returns it, one about a stream when it was closed. A
stream that is closed before its end has status 499: the client went away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

from .batches import ThreadBatches
from .exchange import GONE, Exchange
from .lines import Lines
from .source import announced_size

Environ = dict[str, Any]

_FAILED = 500


class LoggedApplication:
    """The application, with a line for each request."""

    def __init__(self, application: Callable[..., Iterable[bytes]], lines: Lines, batches: ThreadBatches) -> None:
        self._application = application
        self._lines = lines
        self._add = batches.add

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request."""
        exchange = Exchange(environ)
        self._lines.begun(exchange)

        def starting(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            exchange.status, exchange.headers = int(status[:3]), headers
            write = start_response(status, headers, exc_info)
            return _counting(exchange, write)

        try:
            answer = self._application(environ, starting)
        except BaseException:
            self.end(exchange, _FAILED)
            raise
        # Servers have a short path for these, and must get them unchanged; see `adapters.wsgi`.
        if type(answer) in (list, tuple):
            exchange.size = (exchange.size or 0) + sum(map(len, answer))
            self.end(exchange)
            return answer
        if isinstance(wrapper := environ.get("wsgi.file_wrapper"), type) and isinstance(answer, wrapper):
            exchange.size = announced_size(exchange)
            self.end(exchange)
            return answer
        return (SizedStream if hasattr(answer, "__len__") else Stream)(answer, exchange, self)

    def end(self, exchange: Exchange, status: int = 0) -> None:
        """Write the line, with another status than the answer's where one is given."""
        if exchange.over:
            return
        exchange.over = True
        exchange.seconds = perf_counter() - exchange.begun
        exchange.status = status or exchange.status or _FAILED
        if exchange.source["REQUEST_METHOD"] == "HEAD":
            exchange.size = 0
        self._add(self._lines.line(exchange))


class Stream:
    """An answer that is made while it is sent."""

    def __init__(self, answer: Iterable[bytes], exchange: Exchange, logged: LoggedApplication) -> None:
        self._answer = answer
        self._exchange = exchange
        self._logged = logged
        self._status = GONE

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._answer:
                self._exchange.size = (self._exchange.size or 0) + len(piece)
                yield piece
            self._status = 0
        except GeneratorExit:
            raise
        except BaseException:
            self._status = _FAILED
            raise

    def close(self) -> None:
        """Close the answer, and end the line. The server calls it in any case (PEP 3333)."""
        if self._status == GONE and self._is_whole():
            self._status = 0
        try:
            getattr(self._answer, "close", lambda: None)()
        except BaseException:
            self._status = _FAILED
            raise
        finally:
            self._logged.end(self._exchange, self._status)

    def _is_whole(self) -> bool:
        """Return whether a server had no reason to ask for another piece."""
        if self._exchange.source["REQUEST_METHOD"] == "HEAD" or self._exchange.status in (204, 304):
            return True
        return self._exchange.size == announced_size(self._exchange)


class SizedStream(Stream):
    """An answer that knows the number of its pieces: of one piece a server knows the Content-Length (PEP 3333)."""

    def __len__(self) -> int:
        return len(self._answer)  # type: ignore[arg-type]


def _counting(exchange: Exchange, write: Any) -> Any:
    """Return the server's `write` with what it is called with counted; None where the server has none."""
    if write is None:
        return None

    def counting(data: bytes) -> Any:
        exchange.size = (exchange.size or 0) + len(data)
        return write(data)

    return counting
