"""The daemon under test. SETTINGS names a file that says by which server, where, and with which options."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prefork
from prefork import adapters

SETTINGS = json.loads(Path(os.environ["SETTINGS"]).read_text())
OPTIONS = adapters.ServerOptions(**SETTINGS["options"])
RELEASE = os.path.join(os.path.dirname(os.environ["SETTINGS"]), "release")


@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int


worker: prefork.Worker[Web]


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def begun(path: str) -> None:
    if path != "/same":  # of which there are thousands
        say("begun", path)


def counts() -> str:
    activity = worker.activity
    names = ("open", "in_flight", "requests", "errors", "label")
    return json.dumps({name: getattr(activity, name) for name in names})


def text_of(path: str, state: str = "") -> str:
    match path:
        case "/":
            return f"{os.getpid()}\n"
        case "/counts":
            return counts()
        case "/state":
            return state
    return path


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    if scope["type"] == "websocket":
        await echo(receive, send)
        return
    path = scope["path"]
    begun(path)
    if path == "/boom":
        raise RuntimeError("boom")
    if path == "/events":
        await events(send)
        return
    if path == "/held":
        await released()
    if path == "/head":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await released()
        await send({"type": "http.response.body", "body": b"and body"})
        return
    text = text_of(path, scope.get("state", {}).get("said", ""))
    if path == "/client":
        text = f"{scope['client'][0]} by {scope['scheme']}"
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": text.encode()})


async def released() -> None:
    while not os.path.exists(RELEASE):
        await asyncio.sleep(0.01)


async def events(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
    await released()
    await send({"type": "http.response.body", "body": b"data: second\n\n"})


async def echo(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"] + counts()})
    say("websocket", message.get("code"))


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    how = SETTINGS.get("lifespan")
    if how == "unknown":
        raise RuntimeError("what is a lifespan?")
    await receive()
    if how == "raises":
        raise RuntimeError("no database today")
    if how == "fails":
        await send({"type": "lifespan.startup.failed", "message": "no database today"})
        return
    scope["state"]["said"] = "at startup"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    say("lifespan over in", os.getpid())
    await send({"type": "lifespan.shutdown.complete"})


def wsgi(environ: Any, start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    begun(path)
    if path == "/boom":
        raise RuntimeError("boom")
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return stream()
    if path == "/lazy":
        return lazy(start_response)
    if path == "/mute":
        return [b"no head"]
    while path == "/held" and not os.path.exists(RELEASE):
        time.sleep(0.01)
    text = json.dumps(environ, default=repr) if path == "/environ" else text_of(path)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text.encode()]


def lazy(start_response: Any) -> Iterator[bytes]:
    start_response("201 Created", [("Content-Type", "text/x-lazy")])
    yield b"one, "
    yield b"two"


def stream() -> Iterator[bytes]:
    yield b"data: first\n\n"
    while not os.path.exists(RELEASE):
        time.sleep(0.01)
    yield b"data: second\n\n"


application: Callable[..., Any] = asgi if SETTINGS["protocol"] == "asgi" else wsgi
server = adapters.find(SETTINGS["server"], SETTINGS["protocol"])
listener = prefork.Listener(SETTINGS["address"], sharing=SETTINGS["sharing"] or server.sharing)
listeners = {"http": listener}
if SETTINGS.get("also"):
    listeners["also"] = prefork.Listener(SETTINGS["also"])
daemon = prefork.Daemon("adapted", listeners=listeners)


@daemon.plan
def plan() -> list[Any]:
    return [prefork.Pool(Web, SETTINGS["workers"])]


@daemon.before_fork
def warm() -> None:
    server.warm(application, SETTINGS["protocol"], OPTIONS)


@daemon.worker(Web, ready="explicit", **SETTINGS.get("kind", {}))
def web(handle: prefork.Worker[Web]) -> None:
    global worker
    worker = handle
    ready = handle.ready

    def send_ready() -> None:
        ready()
        say("ready", handle.key, f"g{handle.generation}", "pid", os.getpid())

    handle.ready = send_ready  # type: ignore[method-assign]
    server.serve(handle, [handle.listener(name) for name in listeners], application, SETTINGS["protocol"], OPTIONS)


if __name__ == "__main__":
    daemon.run()
