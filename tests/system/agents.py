"""A `prefork run` with an agent, and what a client of the agent sees."""

from __future__ import annotations

import http.client
import json
from http.client import HTTPMessage
from typing import Any

from support import PATIENCE, Start, until
from system.runs import ASGI, Run, write


class Watched(Run):
    """An application of two workers whose agent listens on a port that the kernel chooses."""

    def __init__(self, start: Start, *arguments: str, source: str = ASGI, target: str = "app:app", **more: Any) -> None:
        write(start, "app.py", source)
        super().__init__(start, target, "-w", "2", "--metrics", "127.0.0.1:0", *arguments, **more)
        self.agent_port = 0

    def ready(self) -> str:
        """Wait until the workers are ready, and the agent."""
        self.agent_port = int(self.running.expect(r"^agent: listening on tcp://127\.0\.0\.1:(\d+)$", "err")[1])
        said = super().ready()
        until(lambda: self.slot("agent/0")["state"] == "ready", "the agent is ready")
        return said

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, HTTPMessage]:
        """Return status, body and headers of an answer of the agent, over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.agent_port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        """Return the agent's `/status.json`."""
        code, body, _ = self.ask("/status.json")
        assert code == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def slot(self, key: str) -> dict[str, Any]:
        """Return a slot of the agent's `/status.json`."""
        return next(slot for slot in self.status()["slots"] if slot["key"] == key)
