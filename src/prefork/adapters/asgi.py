"""An ASGI application as every server here is given it: its requests are counted, and clients told when to go.

Told to drain, no server says `Connection: close` by itself with responses to requests that it had not read by then.
So it is said here, when a response starts: with HTTP/2, which forbids the header, servers say GOAWAY.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._worker import Worker
    from .lifespan import State

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_CLOSE = (b"connection", b"close")
_GO_ELSEWHERE = {"type": "websocket.close", "code": 1012, "reason": "service restart"}


class Watched:
    """The application, with each HTTP request counted from its beginning to its end.

    A request has failed when the application raised or answered 500 or more. Of a WebSocket the handshake is counted
    as a request, and no more: it is open for hours, mostly silent, and silence must not look like work that hangs.
    """

    def __init__(self, application: Any, worker: Worker[Any], state: State | None) -> None:
        self._application = application
        self._activity = worker.activity
        self._worker = worker
        self._state = state
        self._websockets: set[Send] = set()

    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        """One request."""
        if self._state is not None:
            scope["state"] = self._state.copy()
        if scope["type"] == "http":
            return self._http(scope, receive, send)
        return self._websocket(scope, receive, send)

    async def close_websockets(self) -> None:
        """Tell clients to go elsewhere, for servers that do not do it themselves."""
        if self._websockets:
            tasks = [asyncio.ensure_future(send(_GO_ELSEWHERE)) for send in self._websockets]
            self._websockets.clear()
            await asyncio.wait(tasks)
            for task in tasks:
                task.exception()  # of those that were about to close by themselves

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        failed = False
        versions_1 = scope["http_version"].startswith("1")

        # No coroutine of its own: it would cost as much as all else here.
        def sending(message: Message) -> Awaitable[None]:
            nonlocal failed
            if message["type"] == "http.response.start":
                failed = message["status"] >= 500
                if versions_1 and self._worker.draining:
                    message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
            return send(message)

        self._activity.begin(f"{scope['method']} {scope['path']}")
        try:
            await self._application(scope, receive, sending)
        except Exception:
            failed = True
            raise
        finally:
            self._activity.end(failed)

    async def _websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        shaking = True

        def shaken(failed: bool = False) -> None:
            nonlocal shaking
            if shaking:
                shaking = False
                self._activity.end(failed)

        def sending(message: Message) -> Awaitable[None]:
            match message["type"]:
                case "websocket.accept":
                    shaken()
                    self._websockets.add(send)
                case "websocket.close":
                    shaken()
                    self._websockets.discard(send)
                case "websocket.http.response.start":
                    shaken(message["status"] >= 500)
            return send(message)

        self._activity.begin(f"WebSocket {scope['path']}")
        try:
            await self._application(scope, receive, sending)
        except Exception:
            shaken(failed=True)
            raise
        finally:
            shaken()
            self._websockets.discard(send)
