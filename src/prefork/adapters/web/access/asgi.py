"""The access log around an ASGI application.

A request's line is made when the last piece of its answer is given to the server, a WebSocket's when the application
has returned. An answer that ends early has status 499 where the client went away, else 500.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from ..gone import LONG, is_gone
from .batches import LoopBatches
from .exchange import GONE, Exchange
from .lines import Lines
from .source import announced_size

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_SWITCHING, _FORBIDDEN, _FAILED = 101, 403, 500


class LoggedApplication:
    """The application, with a line for each request."""

    def __init__(self, application: Any, lines: Lines, batches: LoopBatches) -> None:
        self._application = application
        self._lines = lines
        self._add = batches.add

    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        """Handle one request, or the lifespan."""
        if scope["type"] == "http":
            return self._http(scope, receive, send)
        if scope["type"] == "websocket":
            return self._websocket(scope, receive, send)
        return self._application(scope, receive, send)  # type: ignore[no-any-return]

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope)
        self._lines.begun(exchange)
        gone = False

        async def receiving() -> Message:
            nonlocal gone
            message = await receive()
            gone |= message["type"] == "http.disconnect"
            return message

        # No coroutine, which would be one more for each message.
        def sending(message: Message) -> Awaitable[None]:
            if (kind := message["type"]) == "http.response.start":
                exchange.status = message["status"]
                exchange.headers = message.get("headers", ())
            elif not exchange.over and kind in _PIECES and _is_last(exchange, message):
                if (gone or (_is_long(exchange) and is_gone(scope, receive))) and not _had_all(exchange, message):
                    exchange.status = GONE
                self._end(exchange)
            return send(message)

        try:
            await self._application(scope, receiving, sending)
        except asyncio.CancelledError:
            gone = True  # By the end of the drain, which has closed the connection before.
            raise
        finally:
            if not exchange.over:
                if not _had_all(exchange, {}):
                    exchange.status = GONE if gone or is_gone(scope, receive) else _FAILED
                self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        exchange.over = True
        exchange.seconds = perf_counter() - exchange.begun
        if exchange.source.get("method") == "HEAD":
            exchange.size = 0
        self._add(self._lines.line(exchange))

    async def _websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope)
        self._lines.begun(exchange)
        gone = False

        async def receiving() -> Message:
            nonlocal gone
            message = await receive()
            gone |= message["type"] == "websocket.disconnect"
            return message

        def sending(message: Message) -> Awaitable[None]:
            match message["type"]:
                case "websocket.accept":
                    exchange.status = _SWITCHING
                case "websocket.send":
                    exchange.size = (exchange.size or 0) + _size_of(message)
                case "websocket.close" if not exchange.status:
                    exchange.status = _FORBIDDEN
                case "websocket.http.response.start":
                    exchange.status = message["status"]
                case "websocket.http.response.body":
                    exchange.size = (exchange.size or 0) + len(message.get("body", b""))
            return send(message)

        try:
            await self._application(scope, receiving, sending)
        except Exception:
            if not gone:  # Else it is the server's, for what was sent to a client that is not there.
                exchange.status = _FAILED
            raise
        finally:
            exchange.status = exchange.status or (GONE if gone else _FAILED)
            self._end(exchange)


_PIECES = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})


def _is_last(exchange: Exchange, message: Message) -> bool:
    """Count a piece of the body; return whether it is the last one."""
    if message["type"] == "http.response.body":
        if exchange.size is not None:
            exchange.size += len(message.get("body", b""))
    else:
        exchange.size = announced_size(exchange)
    return message["type"] == "http.response.pathsend" or not message.get("more_body", False)


def _size_of(message: Message) -> int:
    """Return the bytes of a WebSocket's message."""
    if (data := message.get("bytes")) is not None:
        return len(data)
    text: str = message.get("text") or ""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _is_long(exchange: Exchange) -> bool:
    return perf_counter() - exchange.begun >= LONG


def _had_all(exchange: Exchange, last: Message) -> bool:
    """Return whether a client had got the whole body before this piece: then it may go, and has lost nothing."""
    before = (exchange.size or 0) - len(last.get("body", b""))
    return 0 < before == announced_size(exchange)
