"""The agent's connection to a root master, in the hands of a hostile application: it reads, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from security.hostile import Hostile, needs_root
from support import PATIENCE, Start
from system.other_user import anywhere

__all__ = ["anywhere"]  # A fixture.

pytestmark = [needs_root, pytest.mark.timeout(300)]

TAKEN = """
import prefork._mold.agent.slot as slot

def attack(worker):
    worker.ready()
    worker.activity.retire()
    granted = worker._assignment.files
    root = socket.socket(fileno=granted["control"])

    def ask(sock, request):
        sock.sendall(json.dumps({"protocol": 1, **request}).encode() + b"\\n")
        data, found, _, _ = socket.recv_fds(sock, 65536, 4)
        return json.loads(data.partition(b"\\n")[0]) if data else {}, found

    note("granted", *granted)
    for request in COMMANDS:
        note("answer", json.dumps([request, ask(root, request)[0]]))
    more = [found for _ in range(40) for found in ask(root, {"request": "connection"})[1]]
    note("connections", len(more))
    other = socket.socket(fileno=more[0])
    note("answer", json.dumps([{"request": "stop"}, ask(other, {"request": "stop"})[0]]))
    for each in more[1:]:
        keep.append(socket.socket(fileno=each))
        keep[-1].sendall(b'{"protocol": 1, "request": "status"}\\n' * 100 + b'{"protocol": 1, "req')
    with suppress(OSError):
        send(root, b"{", b'"', [lingering() for _ in range(3)])
    note("flooded")
    worker.wait_draining()

slot._serve = attack
"""

COMMANDS: list[dict[str, object]] = [
    {"request": "reload"},
    {"request": "replan"},
    {"request": "restart", "slot": "web/0"},
    {"request": "scale", "pool": None, "size": 0},
    {"request": "plan", "of": "reload"},
    {"request": "stacks", "force": True},
    {"request": "stop"},
]


@pytest.fixture
def hostile(anywhere: Start) -> Iterator[Hostile]:
    hostile = Hostile(anywhere)
    hostile.mold_runs(TAKEN.replace("THEIRS", str(hostile.theirs)).replace("COMMANDS", repr(COMMANDS)))
    hostile.begin("--metrics", "127.0.0.1:0")
    hostile.ready("web/0", "web/1")
    yield hostile
    assert hostile.stop() == 0, hostile.log()


def test_connection_of_the_agent_commands_nothing(hostile: Hostile) -> None:
    with hostile.unharmed():
        hostile.until_noted("flooded")
    notes = (hostile.theirs / "notes").read_text()
    assert "granted control\n" in notes, "the runtime directory is root's"
    answers = [json.loads(line.removeprefix("answer ")) for line in notes.splitlines() if line.startswith("answer ")]
    assert [asked["request"] for asked, _ in answers] == [each["request"] for each in COMMANDS] + ["stop"]
    refused = {"ok": False, "error": "failed", "text": "this connection only reads"}
    assert all(answer == refused for _, answer in answers), answers
    assert "connections 15\n" in notes, "the first one counts, too"
    assert hostile.client.status()["generation"] == 1


def test_steering_as_another_user_is_refused(anywhere: Start) -> None:
    own = Hostile(anywhere)
    own.begin("--metrics", "127.0.0.1:0", "--dashboard", "--dashboard-steer")
    assert own.running.wait() == 2
    assert "--dashboard-steer: not with --user: the agent has the application's user" in own.log()


def test_agent_of_another_user_knows_the_daemon(anywhere: Start) -> None:
    own = Hostile(anywhere)
    own.begin("--metrics", "127.0.0.1:0")
    address = own.running.expect(r"^agent: listening on tcp://(\S+)$", "err")[1]
    own.ready("web/0", "web/1")
    assert urlopen(f"http://{address}/readyz", timeout=PATIENCE).read() == b"2 slots served\n"
    assert own.stop() == 0
