"""The CPU time that prefork adds to a request that uvicorn serves, measured in one process.

    python bench/server_costs.py [rounds]

uvicorn's protocol gets requests and writes answers without a socket: stock; with the application as prefork wraps it;
and with an application that only answers, unwrapped, on prefork's state. Some thousand short rounds in turn; the fifth
percentile is printed, since slower rounds shared their processor with other work.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import uvicorn
import uvloop
from uvicorn.server import ServerState

from prefork._wire import scoreboard
from prefork._worker.activity import Activity
from prefork._worker.draining.drain import Drain
from prefork.adapters import ServerOptions, asgi
from prefork.adapters import uvicorn as adapter
from prefork.adapters.web import layers

REQUEST = b"GET /orders HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
BODY = str(os.getpid()).encode()
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", str(len(BODY)).encode())]
REQUESTS = 100
"""In a round."""


async def application(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


class Transport(asyncio.Transport):
    """Counts the bytes that are written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.writes = 0

    def write(self, _data: Any) -> None:
        self.writes += 1

    def is_closing(self) -> bool:
        return False

    def resume_reading(self) -> None:
        pass


class Worker:
    """The part of a worker that the wrapper needs."""

    key = "web/0"

    def __init__(self) -> None:
        board = scoreboard.Scoreboard(scoreboard.create(2))
        board.words[scoreboard.WATCHING] = 1  # as under a master while a worker is busy
        self.activity = Activity(board, 1)
        self._drain = Drain()


def stock() -> Any:
    config = uvicorn.Config(application, log_config=None, access_log=False, lifespan="off", http="httptools")
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT"), *config.encoded_headers]
    loop: Any = asyncio.get_running_loop()
    make: Any = config.http_protocol_class
    return make(config=config, server_state=state, app_state={}, _loop=loop)


def ours(wrapped: bool) -> Any:
    worker: Any = Worker()
    options = ServerOptions()
    layered = layers.around(application, "asgi", options, worker)
    served: Any = asgi.CountingApplication(layered, worker).__call__ if wrapped else application
    config = adapter._config(served, options, {"http": "httptools"})
    make = adapter._protocol(config, None, options.header_timeout, worker)
    return adapter._factory(make, config, adapter._Connections(worker.activity), {})()


async def one_round(protocol: Any, transport: Transport) -> float:
    """Microseconds a request."""
    begun = time.process_time()
    for _ in range(REQUESTS):
        before = transport.writes
        protocol.data_received(REQUEST)
        while transport.writes == before:
            await asyncio.sleep(0)
    return (time.process_time() - begun) / REQUESTS * 1e6


async def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    sides = {"uvicorn": stock(), "prefork": ours(wrapped=True), "prefork, not counted": ours(wrapped=False)}
    transports = {name: Transport() for name in sides}
    for name, protocol in sides.items():
        protocol.connection_made(transports[name])
    took: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, protocol in sides.items():
            took[name].append(await one_round(protocol, transports[name]))
    print(f"Python {sys.version.split()[0]}, uvicorn {uvicorn.__version__}, uvloop {uvloop.__version__}")
    for name, times in took.items():
        print(f"{name}: {statistics.quantiles(times, n=20)[0]:.2f} µs of CPU time per request")


if __name__ == "__main__":
    uvloop.run(main())
