"""An application of ours on the operator's server: by it a spare that is kept rehearses its start, and a first request.

The server's code runs for the first time in each worker: pages are copied, and code is adapted. Half of a start is
that, and a spare has the time for it before it is needed. No code of the application runs.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ... import adapters
from ..._worker.callbacks import registered
from ..._worker.handle import Worker
from ...adapters import ServerOptions
from ...adapters.web import layers

_PATIENCE = 0.1
"""Seconds until the end of a rehearsal whose request does not arrive: no descriptor is left for its connection."""


def can_rehearse(server: adapters.Server) -> bool:
    """Return whether this server can serve twice in one process, and ends at once when no connection is open."""
    return bool(getattr(server, "serves_again", False))


def serve(worker: Worker[Any]) -> None:
    """Serve one request on all listeners of a rehearsal, whose worker's context is that of an application, and drain.

    Limits, TLS and the access log are those of real requests only.
    """
    context = worker.context
    options = ServerOptions(loop=context.options.loop, keepalive_window=_PATIENCE)
    application = layers.around(_Answering(worker), context.protocol, options, worker)
    server = adapters.find(context.server, context.protocol)
    sockets = [worker._stream(name) for name in worker._assignment.listeners]
    former, registered.own = registered.own, registered.Registry()
    try:
        server.serve(worker, sockets, application, context.protocol, options)
    finally:
        registered.own = former
    worker.activity.retire()


class _Answering:
    """An ASGI application that answers with nothing and has its worker drain."""

    def __init__(self, worker: Worker[Any]) -> None:
        self._drain = worker._drain

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            asyncio.get_running_loop().call_later(_PATIENCE, self._drain.request)
            for step in "startup", "shutdown":
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        self._drain.request()
