"""The limits around an ASGI application. What breaks one is answered, and the application is not called."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from .limits import TOO_MANY, Limits, of_scope
from .refusals import Refusals, headers, phrase

if TYPE_CHECKING:
    from .. import Application

_GONE = {"type": "http.disconnect"}
_LINGER = 2.0
"""Seconds for which the rest of a refused body is read and dropped: a close under unread data takes the answer away."""


class LimitedApplication:
    """An application whose requests are within the limits."""

    def __init__(self, application: Application, limits: Limits, refusals: Refusals) -> None:
        self._application = application
        self._limits = limits
        self._refusals = refusals
        self._in_flight = 0

    def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        """Handle one request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            return self._application(scope, receive, send)
        if self._limits.concurrency and self._in_flight >= self._limits.concurrency:
            why = f"{self._in_flight} requests in flight; the limit is {self._limits.concurrency}"
            return self._refuse(scope, receive, send, (TOO_MANY, why))
        if (refusal := self._limits.refusal(*of_scope(scope))) is not None:
            return self._refuse(scope, receive, send, refusal)
        return self._call(scope, receive, send)

    async def _call(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self._in_flight += 1
        try:
            if self._limits.body and scope["type"] == "http":
                await self._bounded(scope, receive, send)
            else:
                await self._application(scope, receive, send)
        finally:
            self._in_flight -= 1

    async def _bounded(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Call it, and let a body without a length end where it is too large, as if the client had gone."""
        size, begun, over = 0, False, False

        async def receiving() -> Any:
            nonlocal size, over
            if over:
                return _GONE
            message = await receive()
            size += len(message.get("body", b""))
            over = size > self._limits.body
            return _GONE if over else message

        def sending(message: Any) -> Awaitable[None]:
            nonlocal begun
            if over and not begun:  # What a framework makes of the disconnect.
                return _nothing()
            begun = True
            return send(message)  # type: ignore[no-any-return]

        try:
            await self._application(scope, receiving, sending)
        except Exception:
            if begun or not over:
                raise
        if over and not begun:
            await self._refuse(scope, receive, send, self._limits.too_large(size))

    async def _refuse(self, scope: dict[str, Any], receive: Any, send: Any, refusal: tuple[int, str]) -> None:
        status, why = refusal
        self._refusals.log(status, why)
        pairs = [
            (name.lower().encode(), value.encode())
            for name, value in headers(status)
            if name != "Connection" or scope["http_version"].startswith("1")
        ]
        kind, body = "http", phrase(status).encode()
        if scope["type"] == "websocket":
            await receive()
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1013})
                return
            kind = "websocket.http"
        lingers = kind == "http" and status != TOO_MANY
        await send({"type": f"{kind}.response.start", "status": status, "headers": pairs})
        await send({"type": f"{kind}.response.body", "body": body, "more_body": lingers})
        if lingers:
            await _drop(receive)
            await send({"type": "http.response.body", "body": b""})


async def _nothing() -> None:
    """Send nothing."""


async def _drop(receive: Any) -> None:
    import asyncio  # Here, since molds import this module.

    try:
        async with asyncio.timeout(_LINGER):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
    except TimeoutError:
        pass  # The client sends on; it has had its answer for long enough.
