"""An ASGI application wrapped for every server: requests counted, close announced.

No draining server adds `Connection: close` itself to responses to requests that it had not read before. So it is added
here, when a response starts. HTTP/2 forbids the header: there servers send GOAWAY.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .calls import TaskCalls, exited

if TYPE_CHECKING:
    from .._worker.activity import Activity
    from .._worker.handle import Worker
    from .lifespan import State

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FAILED = "prefork.failed"
"""In the scope of a request whose application has raised: a response that it breaks off is no client that has gone."""
_HANDSHAKES = {"websocket.accept": 101, "websocket.close": 403}
"""The status that each answer to a handshake makes a server send."""
_CLOSE = (b"connection", b"close")
_GO_ELSEWHERE = {"type": "websocket.close", "code": 1012, "reason": "service restart"}
_GONE = {"type": "websocket.disconnect", "code": 1012, "reason": "service restart"}


class CountingApplication:
    """The application, with each HTTP request counted from its begin to its end.

    A request has failed when the application raises or answers 500 or more. Of a WebSocket only the handshake counts as
    a request: it is open for hours, mostly silent, and must not count as a hang. `calls` has both until the application
    has returned.
    """

    def __init__(self, application: Any, worker: Worker[Any], state: State | None = None) -> None:
        """`state` is the lifespan's state, where the server does not pass it to each request itself."""
        self.counts_bodies = True
        """Whether the bytes of requests' bodies are counted here; false for a server that does it itself."""
        self._application = application
        self._activity = worker.activity
        self._drain = worker._drain
        self._state = state
        self.calls = TaskCalls(worker, CountingApplication._http, CountingApplication._websocket)

    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        """Handle one request."""
        if self._state is not None:
            scope["state"] = self._state.copy()
        if scope["type"] == "http":
            return self._http(scope, receive, send)
        return self._websocket(scope, receive, send)

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        failed, status, sent = False, 0, 0
        activity, method = self._activity, scope["method"]

        # No coroutine: it would cost as much as all else here.
        def sending(message: Message) -> Awaitable[None]:
            nonlocal failed, status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                failed = status >= 500
                if self._drain.requested:
                    message = closing(scope, message)
            else:
                sent += len(message.get("body", b""))
            return send(message)

        if method != "GET" and self.counts_bodies:
            receive = counted(receive, activity)
        begun = activity.begin(f"{method} {scope['path']}")
        try:
            await self._application(scope, receive, sending)
        except Exception:
            failed, status = True, 500
            scope[FAILED] = True
            raise
        except asyncio.CancelledError:
            if not self.calls.cancelled:  # else the drain has, and it just ends
                raise
        except (SystemExit, KeyboardInterrupt) as error:
            failed, status = True, 500
            raise exited(error) from error
        finally:
            activity.end(failed, status, begun, sent)

    async def _websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        shaking = True

        def shaken(failed: bool = False, status: int = 0) -> None:
            nonlocal shaking
            if shaking:
                shaking = False
                self._activity.end(failed, status, begun)

        def sending(message: Message) -> Awaitable[None]:
            if shaking:  # with any answer
                status = _HANDSHAKES.get(message["type"]) or message.get("status", 0)
                shaken(status >= 500, status)
            return send(message)

        begun = self._activity.begin(f"WebSocket {scope['path']}")
        self.calls.websockets += 1
        try:
            await self._application(scope, receive, sending)
        except Exception:
            shaken(True, 500)
            raise
        except asyncio.CancelledError:
            if not self.calls.cancelled:
                raise
        except (SystemExit, KeyboardInterrupt) as error:
            shaken(True, 500)
            raise exited(error) from error
        finally:
            shaken()
            self.calls.websockets -= 1


def counted(receive: Receive, activity: Activity) -> Receive:
    """Return `receive` with the bytes of the request's body counted."""

    async def receiving() -> Message:
        message = await receive()
        if body := message.get("body"):
            activity.received(len(body))
        return message

    return receiving


def closing(scope: Message, start: Message) -> Message:
    """Return the start of a response with `Connection: close` added."""
    if not scope["http_version"].startswith("1"):
        return start
    return {**start, "headers": [*start.get("headers", ()), _CLOSE]}


class ClosesWebSockets(CountingApplication):
    """For servers that end without closing their WebSockets: `close_websockets` closes them with 1012.

    An application waits for its client most of the time, and granian cannot close a WebSocket meanwhile. So that wait
    is cancelled, the client gets the close, and only then the application gets `websocket.disconnect`.
    """

    def __init__(self, application: Any, worker: Worker[Any], state: State | None = None) -> None:
        super().__init__(application, worker, state)
        self._open: set[_WebSocket] = set()

    async def close_websockets(self) -> None:
        """Close the open WebSockets."""
        await asyncio.gather(*(websocket.close() for websocket in list(self._open)))

    async def _websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        websocket = _WebSocket(receive, send)
        self._open.add(websocket)
        try:
            await super()._websocket(scope, websocket.receive, websocket.send)
        finally:
            self._open.discard(websocket)


class _WebSocket:
    """A WebSocket that can be closed from this side while its application waits for a message."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._accepted = False
        self._waiting: asyncio.Future[Message] | None = None
        self._closed: asyncio.Future[None] | None = None

    def send(self, message: Message) -> Awaitable[None]:
        self._accepted |= message["type"] == "websocket.accept"
        return self._send(message)

    async def receive(self) -> Message:
        if self._closed is None:
            self._waiting = asyncio.ensure_future(self._receive())
            try:
                return await self._waiting
            except asyncio.CancelledError:
                if self._closed is None:
                    raise
        await asyncio.shield(self._closed)
        return _GONE

    async def close(self) -> None:
        if not self._accepted or self._closed is not None:
            return
        self._closed = asyncio.get_running_loop().create_future()
        if self._waiting is not None:
            self._waiting.cancel()
        try:
            await self._send(_GO_ELSEWHERE)
        except Exception:
            pass  # Each server has its own error for a WebSocket that is closed already.
        self._closed.set_result(None)
