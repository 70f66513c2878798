"""The daemon under test for protocols of one's own: a little HTTP, by asyncio streams or by socketserver."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prefork
from prefork.adapters import socketserver

SETTINGS = json.loads(Path(os.environ["SETTINGS"]).read_text())
RELEASE = os.path.join(os.path.dirname(os.environ["SETTINGS"]), "release")
WINDOW = SETTINGS["options"].get("keepalive_window", 1.0)


@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def send_ready(worker: Any) -> None:
    say("ready", worker.key, f"g{worker.generation}", "pid", os.getpid())


async def end_late(path: bytes, writer: asyncio.StreamWriter) -> None:
    """Answer in a way that outlasts a drain, or that ends in the midst."""
    say("begun", path.decode())
    writer.write(b"HTTP/1.1 200 OK\r\n\r\nbegun")
    await writer.drain()
    if path == b"/broken":
        raise RuntimeError("broken off")
    if path == b"/asleep":
        await asyncio.Event().wait()
    if path == b"/work":
        writer.close()
        while not os.path.exists(RELEASE):
            await asyncio.sleep(0.01)
        say("work ended")
        return
    try:
        while True:
            writer.write(b"data: more\n\n" if path == b"/endless" else b"x" * 65536)
            await writer.drain()
            await asyncio.sleep(0.02 if path == b"/endless" else 0)
    finally:
        say("finally", path.decode())


def end_late_in_thread(path: str, file: Any) -> None:
    """The same in a thread."""
    say("begun", path)
    file.write(b"HTTP/1.1 200 OK\r\n\r\nbegun")
    if path == "/broken":
        raise RuntimeError("broken off")
    if path == "/asleep":
        Path(RELEASE).with_name("asleep").read_bytes()
        return
    if path == "/work":
        while not os.path.exists(RELEASE):
            time.sleep(0.01)
        say("work ended")
        return
    try:
        while True:
            file.write(b"data: more\n\n" if path == "/endless" else b"x" * 65536)
            time.sleep(0.02 if path == "/endless" else 0)
    finally:
        say("finally", path)


daemon = prefork.Daemon("adapted", listeners={"http": SETTINGS["address"]})


@daemon.plan
def plan() -> list[Any]:
    return [prefork.Pool(Web, SETTINGS["workers"])]


async def streams(worker: prefork.AsyncWorker[Web]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        last = False
        while not last and (line := await reader.readline()):
            path = line.split()[1]
            last = worker.draining
            while (header := await reader.readline()) not in (b"\r\n", b""):
                last |= header.lower() == b"connection: close\r\n"
            with worker.request("GET"):
                if path in (b"/work", b"/broken", b"/endless", b"/flood", b"/asleep"):
                    await end_late(path, writer)
                    return
                close = b"Connection: close\r\n" if last else b""
                writer.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (close, len(path), path))
                await writer.drain()

    worker.ready()
    send_ready(worker)
    await worker.serve_asyncio(talk, "http", window=WINDOW)


def threads(worker: prefork.Worker[Web]) -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path in ("/work", "/broken", "/endless", "/flood", "/asleep"):
                self.close_connection = True
                end_late_in_thread(self.path, self.wfile)
                return
            self.send_response(200)
            if worker.draining:
                self.send_header("Connection", "close")
            self.send_header("Content-Length", str(len(self.path)))
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *_: Any) -> None:
            pass

    worker.ready()
    send_ready(worker)
    socketserver.serve(worker, "http", http.server.ThreadingHTTPServer, Page, window=WINDOW)


function: Any = {"asyncio": streams, "socketserver": threads}[SETTINGS["server"]]
daemon.worker(Web, ready="explicit", **SETTINGS["kind"])(function)

if __name__ == "__main__":
    daemon.run()
