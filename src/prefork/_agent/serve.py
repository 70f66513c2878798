"""The agent's work: one ASGI application of several parts, served by our own adapter for uvicorn."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute

from .. import adapters
from .._errors import PreforkError
from ..adapters import ServerOptions
from ..adapters.web import layers
from . import health, metrics
from .dashboard import routes as dashboard
from .granted import GrantedClient
from .options import AgentOptions
from .push.push import push
from .source import Source
from .uncounted import Uncounted

if TYPE_CHECKING:
    from .._worker.handle import Worker

PARTS: Sequence[Callable[[Source, AgentOptions], list[BaseRoute]]] = (
    health.routes,
    metrics.routes,
    dashboard.routes,
)
"""What the agent serves: each part returns its routes."""

LASTING: Sequence[Callable[[Source, AgentOptions], AbstractAsyncContextManager[None]]] = (push,)
"""What the agent does besides, in its event loop, from its start to its end."""

_LISTENER = "agent"

_OPTIONS = ServerOptions(
    keepalive_window=0.2,
    loop="asyncio",
    keep_alive=20.0,
    header_timeout=10.0,
    limit_request_line=4096,
    limit_request_headers=16384,
    limit_request_body=65536,
    limit_concurrency=200,
    forwarded_allow_ips=(),
)

_UNREAD = 30_000
"""Milliseconds that an answer may wait for a client that does not read it (TCP_USER_TIMEOUT, tcp(7))."""


def serve(worker: Worker[Any], options: AgentOptions) -> None:
    """Serve until the worker has drained."""
    worker.activity.__class__ = Uncounted
    source = _source(worker._assignment.files)
    listener = worker.listener(_LISTENER)
    if listener.family != socket.AF_UNIX:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD)  # Of connections, too.
    application = layers.around(_application(source, options), "asgi", _OPTIONS, worker)
    adapters.find("uvicorn", "asgi").serve(worker, [listener], application, "asgi", _OPTIONS)


def _source(granted: dict[str, int]) -> Source:
    """Return the source; `granted`: the descriptors that the master has passed, by name."""
    directory = f"/proc/self/fd/{granted['runtime']}" if "runtime" in granted else None
    return Source(GrantedClient(granted["control"]), directory)


def _application(source: Source, options: AgentOptions) -> Starlette:
    @asynccontextmanager
    async def lasting(_application: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for each in LASTING:
                await stack.enter_async_context(each(source, options))
            yield

    routes = [route for part in PARTS for route in part(source, options)]
    return Starlette(routes=routes, lifespan=lasting, exception_handlers={PreforkError: _unavailable})


def _unavailable(_request: Request, error: Exception) -> PlainTextResponse:
    """Answer a request for what the master has not answered."""
    return PlainTextResponse(f"{error}\n", 503)
