"""`/stream`: the changes as server-sent events, for as long as the page watches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse

from ..._worker.async_handle import wait_draining

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from .hub import Hub, Watcher

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would collect the messages
]


class Stream:
    """The ASGI endpoint."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client leaves or falls behind, or this worker drains: the page then connects to the next."""
        if scope["method"] == "HEAD":
            await PlainTextResponse("", headers={"cache-control": "no-store"})(scope, receive, send)
            return
        watcher = self._hub.enter()
        if watcher is None:
            busy = PlainTextResponse("too many pages watch this daemon\n", 503, headers={"retry-after": "10"})
            await busy(scope, receive, send)
            return
        ends = (_left(receive), wait_draining(), watcher.lost.wait())
        waiting = [asyncio.ensure_future(each) for each in (_sending(watcher, send), *ends)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(watcher)
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        # To one that does not read this waits, until it reads on or the kernel gives it up.
        await send({"type": "http.response.body", "body": b""})


async def _sending(watcher: Watcher, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    while True:
        message = await watcher.queue.get()
        await send({"type": "http.response.body", "body": message, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
