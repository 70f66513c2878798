"""A `prefork run` with an agent, and what a client of the agent sees."""

from __future__ import annotations

import http.client
import json
from http.client import HTTPMessage
from typing import Any

import prefork
from support import PATIENCE, Start, until
from system.runs import ASGI, Run, write


class Watched(Run):
    """An application whose agent listens on a port that the kernel chooses."""

    def __init__(self, start: Start, *arguments: str, source: str = ASGI, **options: Any) -> None:
        write(start, "app.py", source)
        self.start = start
        self.agent_port = 0
        super().__init__(start, *(arguments or ("app:app", "-w", "2")), "--metrics", "127.0.0.1:0", **options)

    def ready(self) -> str:
        """Wait until the workers are ready, and the agent."""
        said = self.ready_without_agent()
        self.agent()
        return said

    def ready_without_agent(self) -> str:
        """Wait until the workers are ready."""
        said = super().ready()
        self.agent_port = int(said.rpartition("agent: http://127.0.0.1:")[2])
        return said

    @property
    def client(self) -> prefork.Client:
        return prefork.connect(str(self.start.directory / "runtime"))

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
        """Return a slot, as the master has it."""
        return {**next(slot for slot in self.client.status()["slots"] if slot["key"] == key)}

    def workers(self) -> list[int]:
        """Return the processes of the slots that serve."""
        return [slot["pid"] or 0 for slot in self.client.status()["slots"] if not slot["auxiliary"]]

    def agent(self, other_than: int = 0) -> int:
        """Wait until the agent is ready, and another process than this one; return its pid."""
        found: dict[str, Any] = {}

        def ready() -> bool:
            found.update(self.slot("agent/0"))
            return bool(found["state"] == "ready" and found["pid"] != other_than)

        until(ready, "the agent is ready")
        return int(found["pid"])
