"""Applications of the tests of the kit, as a user's tests would import them."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import prefork

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    if scope["path"] == "/exit":
        os._exit(1)
    status = 500 if scope["path"] == "/error" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"7")]})
    await send({"type": "http.response.body", "body": f"{os.getpid():07}".encode()})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


class Site:
    """An application that is an object, as those of frameworks are."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asgi(scope, receive, send)


site = Site()


@dataclass(frozen=True)
class Talk(prefork.WorkerContext):
    id: int


daemon = prefork.Daemon("kit", listeners={"web": "tcp://127.0.0.1:8001", "admin": "unix:///nowhere/admin.sock"})


@daemon.plan
def plan() -> list[Any]:
    return [prefork.Pool(Talk, 2)]


@daemon.worker(Talk)
def talk(worker: prefork.Worker[Talk]) -> None:
    for connection, _ in worker.accept("web"):
        with connection:
            connection.sendall(worker.key.encode())
