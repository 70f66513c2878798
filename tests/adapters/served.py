"""A daemon that serves an application by one server: what all tests of adapters start, and the clients they use."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support import PATIENCE, Running, Start
from system.daemons import free_port

SERVERS = [
    ("uvicorn", "asgi"),
    ("granian", "asgi"),
    ("hypercorn", "asgi"),
    ("granian", "wsgi"),
    ("waitress", "wsgi"),
]
ONE_OF_EACH = [("uvicorn", "asgi"), ("granian", "asgi"), ("waitress", "wsgi")]
"""One with an event loop in Python, one with one in Rust, one with threads."""
STREAMS = [("asyncio", "streams"), ("socketserver", "streams")]
ASGI = [server for server in SERVERS if server[1] == "asgi"]
WSGI = [server for server in SERVERS if server[1] == "wsgi"]

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SILENCE = 0.2
"""Seconds that a client lets pass between connecting and asking; shorter than the window, longer than any drain."""

PROGRAM = Path(__file__).with_name("program.py")
SLOW: dict[str, Any] = {"keepalive_window": 10, "sharing": "shared"}
BRIEF: dict[str, Any] = {"keepalive_window": 0.1, "sharing": "sharded"}
"""The options of the daemons that most tests share."""

STREAMS_PROGRAM = Path(__file__).with_name("streams_program.py")


class Adapted:
    """The daemon of `program.py`, or of `streams_program.py`, run in the test's directory."""

    def __init__(self, start: Start, server: tuple[str, str], workers: int = 1, **options: Any) -> None:
        self.directory = start.directory
        self.port = free_port()
        limited = (
            ("sh", "-c", f'ulimit -n {options.pop("descriptors")}; exec "$@"', "sh") if "descriptors" in options else ()
        )
        self.address = options.pop("address", f"tcp://127.0.0.1:{self.port}")
        self.settings = self.directory / "settings.json"
        self.write(
            server=server[0],
            protocol=server[1],
            workers=workers,
            address=self.address.replace("DIRECTORY", str(self.directory)),
            also=options.pop("also", "").replace("DIRECTORY", str(self.directory)),
            sharing=options.pop("sharing", None),
            kind=options.pop("kind", {}),
            lifespan=options.pop("lifespan_test", ""),
            options=options,
        )
        environment = {"RUNTIME_DIRECTORY": str(self.directory / "runtime"), "SETTINGS": str(self.settings)}
        program = STREAMS_PROGRAM if server in STREAMS else PROGRAM
        self.running: Running = start.command(*limited, sys.executable, program, env=environment)
        self.pids: dict[str, int] = {}

    @property
    def pid(self) -> int:
        """The only worker's, of those that `ready` has found."""
        return self.pids["web/0"]

    def write(self, **settings: Any) -> None:
        self.settings.write_text(json.dumps(settings))

    def ready(self, *keys: str, generation: int = 1) -> dict[str, int]:
        """Wait until these workers serve; return their pids."""
        patterns = {key: rf"^ready {key} g{generation} pid (\d+)$" for key in keys or ("web/0",)}
        found = self.running.expect_each(patterns.values())
        self.pids = {key: int(found[pattern][1]) for key, pattern in patterns.items()}
        return self.pids

    def release(self) -> None:
        """Let the requests end that wait for it."""
        (self.directory / "release").touch()

    def hold(self) -> None:
        """Let such requests wait again."""
        (self.directory / "release").unlink()

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """A client that keeps its connection."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            yield client
        finally:
            client.close()

    def get(self, path: str) -> tuple[int, str]:
        """One request on a connection of its own."""
        with self.connection() as client:
            return fetch(client, path)[:2]

    def stop(self) -> int:
        return self.running.stop(signal.SIGTERM)


class Shared:
    """Daemons with one worker that a test uses after another; `server` and options say which.

    A test that fails, or that ends its daemon, does not give it back, and the next one gets a new one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._starts: list[Start] = []
        self._idle: dict[str, Adapted] = {}

    def take(self, server: tuple[str, str], **options: Any) -> Adapted:
        """Return a daemon whose worker is ready: its pid is `pid`."""
        what = repr((server, options))
        if what not in self._idle:
            start = Start(self._directory / str(len(self._starts)))
            start.directory.mkdir()
            self._starts.append(start)
            if server not in STREAMS:
                options["also"] = "unix://DIRECTORY/http.sock"
            adapted = Adapted(start, server, **options)
            adapted.ready()
            return adapted
        return self._idle.pop(what)

    def give_back(self, adapted: Adapted, server: tuple[str, str], **options: Any) -> None:
        """Let other tests have it, if its worker is ready."""
        self._idle[repr((server, options))] = adapted

    @contextmanager
    def use(self, server: tuple[str, str], **options: Any) -> Iterator[Adapted]:
        """Take one and give it back after a test that has not failed."""
        adapted = self.take(server, **options)
        yield adapted
        self.give_back(adapted, server, **options)

    def close(self) -> None:
        """End all of them; the idle ones have to end well. All at once: some drain for their keep-alive window."""
        try:
            for adapted in self._idle.values():
                adapted.running.send(signal.SIGTERM)
            statuses = [adapted.running.wait() for adapted in self._idle.values()]
            assert not any(statuses), statuses
            assert not any(left := [adapted.running.left() for adapted in self._idle.values()]), left
        finally:
            with ExitStack() as stack:
                for start in self._starts:
                    stack.callback(start.close)


def fetch(client: http.client.HTTPConnection, path: str, **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
    """One request on a connection that may be kept."""
    client.request("GET", path, headers=headers)
    answer = client.getresponse()
    return answer.status, answer.read().decode(), answer.headers


def connect(port: int) -> socket.socket:
    """A plain connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def read_all(client: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    answer = b""
    while data := client.recv(65536):
        answer += data
    return answer


def term(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
