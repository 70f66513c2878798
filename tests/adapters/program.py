"""The daemon under test. SETTINGS names a file that says by which server, where, and with which options."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import prefork
from prefork import adapters
from prefork.adapters.web import layers

SETTINGS = json.loads(Path(os.environ["SETTINGS"]).read_text())
OPTIONS = adapters.ServerOptions(**SETTINGS["options"])
WORK = 0.3
"""Seconds that the application works on after a response."""
RELEASE = os.path.join(os.path.dirname(os.environ["SETTINGS"]), "release")


@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int


worker: prefork.Worker[Web]


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def begun(path: str) -> None:
    if path not in ("/same", "/work-on"):  # of which there are thousands
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


def peer(scope: Any) -> dict[str, Any]:
    """What an ASGI application sees of a proxy and of the client behind it."""
    host, port = scope["client"] or ("", 0)
    headers = {name.decode(): value.decode() for name, value in scope["headers"] if b"forwarded" in name}
    server_port = scope["server"][1] if scope["server"] else None
    paths = {"root": scope["root_path"], "path": scope["path"], "raw": scope["raw_path"].decode()}
    return {"host": host, "port": port, "scheme": scope["scheme"], "server": server_port, "headers": headers} | paths


def wsgi_peer(environ: Any) -> dict[str, Any]:
    """What a WSGI application sees of them."""
    headers = {name[5:].lower().replace("_", "-"): environ[name] for name in environ if "FORWARDED" in name}
    names = {"host": "REMOTE_ADDR", "port": "REMOTE_PORT", "scheme": "wsgi.url_scheme", "server": "SERVER_PORT"}
    names |= {"https": "HTTPS", "root": "SCRIPT_NAME", "path": "PATH_INFO"}
    return {key: environ.get(name) for key, name in names.items()} | {"headers": headers}


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    if scope["type"] == "websocket":
        await (talk_for_ever if scope["path"] == "/forever" else echo)(scope, receive, send)
        return
    path = scope["path"]
    begun(path)
    if path == "/boom":
        raise RuntimeError("boom")
    if path in ENDINGS:
        await ENDINGS[path](receive, send)
        return
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
    if path.endswith("/peer"):
        text = json.dumps(peer(scope))
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


def start(length: int | None = None) -> dict[str, Any]:
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain"), *headers]}


def piece(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def asleep(receive: Any, send: Any) -> None:
    """Wait for what never comes."""
    try:
        await asyncio.Event().wait()
    finally:
        say("finally /asleep")


async def work_after_response(receive: Any, send: Any) -> None:
    await send(start(2))
    await send(piece(b"ok", more=False))
    say("work begun")
    await released()
    say("work ended")


async def work_on(receive: Any, send: Any) -> None:
    """Respond, and work for a while."""
    await send(start(2))
    await send(piece(b"ok", more=False))
    say("work begun")
    await asyncio.sleep(WORK)
    say("work ended")


async def break_off(receive: Any, send: Any) -> None:
    await send(start(100))
    await send(piece(b"begun"))
    raise RuntimeError("broken off")


async def call_exit(receive: Any, send: Any) -> None:
    sys.exit(3)


async def endless(receive: Any, send: Any) -> None:
    """Send for ever, whether or not the client is there."""
    await send(start())
    try:
        while True:
            await send(piece(b"data: more\n\n"))
            await asyncio.sleep(0.02)
    finally:
        say("finally /endless")


async def flood(receive: Any, send: Any) -> None:
    await send(start())
    try:
        while True:
            await send(piece(b"x" * 65536))
            await asyncio.sleep(0)
    finally:
        say("finally /flood")


async def work_for_ever(receive: Any, send: Any) -> None:
    await send(start(2))
    await send(piece(b"ok", more=False))
    try:
        await asyncio.Event().wait()
    finally:
        say("finally /forever")


async def listen(receive: Any, send: Any) -> None:
    await send(start())
    await send(piece(b"listening"))
    while (await receive())["type"] != "http.disconnect":
        pass
    say("disconnected /listen")


async def upload(receive: Any, send: Any) -> None:
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            say("disconnected /upload")
            return
        length, more = length + len(message["body"]), message["more_body"]
    text = str(length).encode()
    await send(start(len(text)))
    await send(piece(text, more=False))


async def stream_until_drain(receive: Any, send: Any) -> None:
    await send(start())
    await send(piece(b"streaming"))
    await prefork.wait_draining()
    server: Any = signal.getsignal(signal.SIGTERM)
    told = prefork.draining() and server.__self__.should_exit  # which sse-starlette reads
    await send(piece(b" and bye" if told else b" too early", more=False))


async def block(receive: Any, send: Any) -> None:
    """Keep the loop from all else until silent connections are overdue."""
    time.sleep(OPTIONS.idle_timeout + 0.5)
    await send(start(2))
    await send(piece(b"ok", more=False))


async def send_large(receive: Any, send: Any) -> None:
    await send(start(8_000_000))
    for _ in range(80):
        await send(piece(b"x" * 100_000))
    await send(piece(b"", more=False))


@cache
def blob() -> bytes:
    return b"x" * 20_000_000


async def send_blob(receive: Any, send: Any) -> None:
    """Send the same 20 MB to all."""
    await send(start(len(blob())))
    await send(piece(blob(), more=False))


async def start_thread(receive: Any, send: Any) -> None:
    await asyncio.to_thread(leave_thread)
    await send(start(2))
    await send(piece(b"ok", more=False))


def leave_thread() -> None:
    threading.Thread(target=work_in_thread).start()


def work_in_thread() -> None:
    say("work begun")
    while not os.path.exists(RELEASE):
        time.sleep(0.01)
    say("work ended")


ENDINGS: dict[str, Callable[[Any, Any], Awaitable[None]]] = {
    "/asleep": asleep,
    "/work": work_after_response,
    "/work-on": work_on,
    "/broken": break_off,
    "/exit": call_exit,
    "/endless": endless,
    "/flood": flood,
    "/forever": work_for_ever,
    "/listen": listen,
    "/upload": upload,
    "/until-drain": stream_until_drain,
    "/thread": start_thread,
    "/block": block,
    "/large": send_large,
    "/blob": send_blob,
}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = json.dumps(peer(scope)) if scope["path"].endswith("/peer") else message["text"] + counts()
        await send({"type": "websocket.send", "text": text})
    say("websocket", message.get("code"))


async def talk_for_ever(scope: Any, receive: Any, send: Any) -> None:
    """Work on when the client has gone."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": (await receive())["text"]})
    try:
        await asyncio.Event().wait()
    finally:
        say("finally WebSocket")


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
    if path.endswith("/peer"):
        text = json.dumps(wsgi_peer(environ))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
        return [text.encode()]
    if path == "/boom":
        raise RuntimeError("boom")
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return stream()
    if path == "/lazy":
        return lazy(start_response)
    if path in WSGI_ENDINGS:
        return WSGI_ENDINGS[path](environ, start_response)
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


def wsgi_asleep(environ: Any, start_response: Any) -> list[bytes]:
    """Wait without a poll until the test lets it go."""
    Path(RELEASE).with_name("asleep").read_bytes()
    start_response("200 OK", [])
    return []


class WorksInClose:
    """An answer whose end does the work, as Werkzeug's `call_on_close` makes it."""

    def __init__(self, environ: Any, start_response: Any) -> None:
        start_response("200 OK", [("Content-Length", "2")])

    def __iter__(self) -> Iterator[bytes]:
        yield b"ok"

    def close(self) -> None:
        work_in_thread()


class WorksOnInClose(WorksInClose):
    """The same, for a while."""

    def close(self) -> None:
        say("work begun")
        time.sleep(WORK)
        say("work ended")


def wsgi_break_off(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Length", "100")])
    yield b"begun"
    raise RuntimeError("broken off")


def wsgi_replace_head(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    try:
        raise RuntimeError("too late for 200")
    except RuntimeError:
        start_response("503 Later", [("Content-Length", "5")], exc_info=sys.exc_info())
    return [b"later"]


def wsgi_exit(environ: Any, start_response: Any) -> list[bytes]:
    sys.exit(3)


def wsgi_exit_late(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Length", "100")])
    yield b"begun"
    sys.exit(3)


def wsgi_endless(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    try:
        while True:
            yield b"data: more\n\n"
            time.sleep(0.02)
    finally:
        say("finally /endless")


def wsgi_flood(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    try:
        while True:
            yield b"x" * 65536
    finally:
        say("finally /flood")


def wsgi_upload(environ: Any, start_response: Any) -> list[bytes]:
    text = str(len(environ["wsgi.input"].read())).encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


def wsgi_stream_until_drain(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"streaming"
    while not prefork.draining():
        time.sleep(0.01)
    yield b" and bye"


def wsgi_send_large(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "8000000")])
    return [b"x" * 8_000_000]


def wsgi_start_thread(environ: Any, start_response: Any) -> list[bytes]:
    leave_thread()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


WSGI_ENDINGS: dict[str, Callable[[Any, Any], Iterable[bytes]]] = {
    "/asleep": wsgi_asleep,
    "/work": WorksInClose,
    "/work-on": WorksOnInClose,
    "/broken": wsgi_break_off,
    "/exit": wsgi_exit,
    "/exit-late": wsgi_exit_late,
    "/replaced": wsgi_replace_head,
    "/endless": wsgi_endless,
    "/flood": wsgi_flood,
    "/upload": wsgi_upload,
    "/until-drain": wsgi_stream_until_drain,
    "/thread": wsgi_start_thread,
    "/large": wsgi_send_large,
}

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
    atexit.register(say, "exit handlers ran in", os.getpid())

    def send_ready() -> None:
        ready()
        say("ready", handle.key, f"g{handle.generation}", "pid", os.getpid())

    handle.ready = send_ready  # type: ignore[method-assign]
    layered = layers.around(application, SETTINGS["protocol"], OPTIONS, handle)
    server.serve(handle, [handle.listener(name) for name in listeners], layered, SETTINGS["protocol"], OPTIONS)


if __name__ == "__main__":
    daemon.run()
