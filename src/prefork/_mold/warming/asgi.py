"""Requests of an ASGI application without a server, in an event loop that is closed before the fork.

There is no lifespan: what it opens (connections, tasks, threads) belongs to a worker and its loop.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

from .request import MARK, Request

_CANCELLED = 0.5
"""Seconds that the tasks which requests have left may take to end."""


class Client:
    """All requests of one warming, which share an event loop: a connection that one opens may serve the next."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._loop: asyncio.AbstractEventLoop | None = None

    def call(self, request: Request) -> tuple[int, str]:
        """Request it, and read the answer to its end; return its status, and where it leads."""
        if self._loop is None:
            self._loop = asyncio.SelectorEventLoop()
        return self._loop.run_until_complete(self._call(request))

    async def _call(self, request: Request) -> tuple[int, str]:
        ended, started = asyncio.Event(), dict[str, Any]()
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await ended.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                ended.set()

        await self._application(_scope(request), receive, send)
        if not started:
            raise RuntimeError("the application has sent no response")
        headers = {bytes(name).lower(): bytes(value) for name, value in started.get("headers", ())}
        return started["status"], headers.get(b"location", b"").decode("latin-1")

    def close(self) -> None:
        """End what the requests have left in the loop, and close it."""
        if (loop := self._loop) is None:
            return
        loop.run_until_complete(_end())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _end() -> None:
    for engine in _engines():
        await engine.dispose()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_CANCELLED)


def _engines() -> list[Any]:
    """Return SQLAlchemy's asynchronous engines: only a loop that runs can close their connections."""
    cls = getattr(sys.modules.get("sqlalchemy.ext.asyncio"), "AsyncEngine", None)
    return [each for each in gc.get_objects() if type(each) is cls] if cls else []


def _scope(request: Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": request.scheme,
        "path": request.path.decode("utf-8", "replace"),
        "raw_path": request.raw_path,
        "query_string": request.query,
        "root_path": "",
        "headers": [(b"host", request.host.encode()), (b"accept", b"*/*"), (b"user-agent", b"prefork")],
        "client": ("127.0.0.1", 0),
        "server": (request.server, request.port),
        "extensions": {MARK: {}},
        "state": {},
    }
