"""Commands of the dashboard: who may send them, and what they answer."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from support import PATIENCE, Start
from system.dashboards import Dashboard
from system.runs import write


class Steered(Dashboard):
    """A dashboard with commands."""

    def __init__(self, start: Start) -> None:
        super().__init__(start, "--dashboard-steer")
        self.file = start.directory / "runtime" / "dashboard-token"
        self.token = ""

    def ready(self) -> str:
        said = super().ready()
        assert self.file.stat().st_mode & 0o777 == 0o600
        self.token = self.file.read_text().strip()
        assert len(self.token) >= 32
        return said

    def steer(self, command: str, members: object = None, **headers: str) -> tuple[int, str]:
        """Send a command as the page does; return its answer. Headers replace the page's."""
        connection = http.client.HTTPConnection("127.0.0.1", self.agent_port, timeout=PATIENCE)
        usual = {"Authorization": f"Bearer {self.token}", "Origin": self.url.rstrip("/")}
        try:
            connection.request("POST", f"/steer/{command}", json.dumps(members or {}), {**usual, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steered]:
    """One daemon for all tests of this module."""
    start = Start(tmp_path_factory.mktemp("steered"))
    try:
        run = Steered(start)
        run.ready()
        yield run
        assert run.stop() == 0
        assert f"dashboard: commands are enabled; their token is in {run.file}" in run.running.err
    finally:
        start.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer \xe4"}, 401),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
    ],
)
def test_command_without_the_right_is_refused(steered: Steered, headers: dict[str, str], status: int) -> None:
    before = steered.slot("web/0")["pid"]
    assert steered.steer("restart", {"slot": "web/0"}, **headers)[0] == status
    assert steered.slot("web/0")["pid"] == before


@pytest.mark.parametrize(
    ("command", "members"),
    [
        ("stop", {}),
        ("restart", {}),
        ("restart", {"slot": 7}),
        ("scale", {"pool": "web", "size": -1}),
        ("scale", {"pool": "web", "size": True}),
        ("scale", {"pool": "web", "size": "2"}),
        ("reload", [1]),
        ("reload", "x"),
    ],
)
def test_command_that_is_malformed_is_refused(steered: Steered, command: str, members: Any) -> None:
    assert steered.steer(command, members)[0] == 400


def test_command_that_is_too_long_is_refused(steered: Steered) -> None:
    assert steered.steer("restart", {"slot": "x" * 5000})[0] == 413


def test_commands_answer_with_their_outcome(steered: Steered) -> None:
    before = steered.slot("web/0")["pid"]
    assert steered.steer("restart", {"slot": "web/0"}) == (200, "restart: done (web/0)\n")
    assert steered.slot("web/0")["pid"] != before
    assert steered.steer("scale", {"pool": "web", "size": 1}) == (200, "web: scaled to 1\n")
    assert steered.steer("restart", {"slot": "web/77"})[0] == 409
    status, text = steered.steer("scale", {"pool": "nothing", "size": 1})
    assert (status, "nothing" in text) == (409, True)


def test_failed_reload_answers_with_the_traceback(steered: Steered) -> None:
    write(steered.start, "app.py", "raise ValueError('no stock')\n")
    status, text = steered.steer("reload")
    assert status == 409
    assert "ValueError: no stock" in text


def test_token_stays_when_the_agent_is_replaced(steered: Steered) -> None:
    before = steered.agent()
    status, text = steered.steer("restart", {"slot": "agent/0"})
    assert (status, text.startswith("restart: done (agent/0)")) == (200, True)
    assert steered.agent(other_than=before)
    assert steered.steer("restart", {"slot": "web/0"})[0] == 200
