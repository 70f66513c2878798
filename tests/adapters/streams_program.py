"""The daemon under test for protocols of one's own: a little HTTP, by asyncio streams or by socketserver."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prefork
from prefork.adapters import socketserver

SETTINGS = json.loads(Path(os.environ["SETTINGS"]).read_text())
WINDOW = SETTINGS["options"].get("keepalive_window", 1.0)


@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int


def send_ready(worker: Any) -> None:
    os.write(1, f"ready {worker.key} g{worker.generation} pid {os.getpid()}\n".encode())


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
