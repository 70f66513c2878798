"""A daemon with a dashboard, and a client of its stream."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support import PATIENCE, Start
from system.agents import Watched
from system.runs import ASGI, Run, write

Message = dict[str, Any]


class Dashboard(Watched):
    """An application of two workers and its dashboard."""

    def __init__(
        self, start: Start, *arguments: str, source: str = ASGI, address: str = "127.0.0.1:0", **options: Any
    ) -> None:
        write(start, "app.py", source)
        self.start = start
        self.agent_port = 0
        words = ("app:app", "-w", "2", *arguments, "--dashboard", "--metrics", address)
        Run.__init__(self, start, *words, **options)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.agent_port}/"

    @contextmanager
    def stream(self) -> Iterator[Stream]:
        """Watch until the block ends."""
        connection = http.client.HTTPConnection("127.0.0.1", self.agent_port, timeout=PATIENCE)
        try:
            connection.request("GET", "/stream")
            yield Stream(connection.getresponse())
        finally:
            connection.close()


class Stream:
    """What the stream has sent so far, merged as the page does it."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.answer = answer
        self.sections: Message = {}
        self.slots: dict[str, list[Any]] = {}
        self.events: list[Message] = []

    def next(self) -> Message | None:
        """Return the next message; None at the end."""
        while line := self.answer.readline():
            if line.startswith(b"data: "):
                message: Message = json.loads(line[6:])
                self._merge(message)
                return message
        return None

    def until(self, condition: Callable[[Message], object]) -> Message:
        """Return the first message that fulfils a condition; the wait for each is bounded."""
        for _ in range(200):
            message = self.next()
            assert message is not None, "the stream has ended"
            if condition(message):
                return message
        raise AssertionError("never came")

    def _merge(self, message: Message) -> None:
        if message.get("whole"):
            self.sections, self.slots, self.events = {}, {}, []
        self.sections |= message.get("set", {})
        for key, row in message.get("slots", {}).items():
            if row is None:
                del self.slots[key]
            else:
                self.slots[key] = row
        self.events += message.get("events", [])
