"""The chat over TCP: clients of different workers hear each other, through a reload too."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from examples.example import Example
from support import PATIENCE, Start, gone, until


class Client:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.lines = self.socket.makefile("r")
        self.port: int = self.socket.getsockname()[1]

    def say(self, text: str) -> None:
        self.socket.sendall(f"{text}\n".encode())

    def hears(self) -> str:
        return self.lines.readline().rstrip("\n")

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


@pytest.fixture
def talk(start: Start) -> Example:
    talk = Example(start, "talk", TALK_ADDRESS="tcp://127.0.0.1:PORT").run("python talk.py")
    until(lambda: len(bus(talk)) == 4, "four rooms")
    return talk


def bus(talk: Example) -> list[Path]:
    return list(Path(talk.environment["RUNTIME_DIRECTORY"]).glob("talk-*/*"))


def room_of(client: Client, talk: Example) -> int:
    """Which worker has the other end of a client's connection."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = f"0100007F:{talk.port:04X}", f"0100007F:{client.port:04X}"
    (inode,) = [row[9] for row in rows if (row[1], row[2]) == ends]
    for pid in talk.workers("room").values():
        if any(os.readlink(link) == f"socket:[{inode}]" for link in Path(f"/proc/{pid}/fd").iterdir()):
            return pid
    raise AssertionError("no room has it")


def clients_of_two_rooms(talk: Example) -> tuple[Client, Client]:
    one = Client(talk.port)
    one.say("is anybody here?")
    assert one.hears() == "is anybody here?"
    for _ in range(200):
        other = Client(talk.port)
        other.say("me")
        assert (one.hears(), other.hears()) == ("me", "me")
        if room_of(other, talk) != room_of(one, talk):
            return one, other
        other.close()
    raise AssertionError("all are in one room")


def test_clients_of_different_workers_hear_each_other(talk: Example) -> None:
    one, other = clients_of_two_rooms(talk)
    one.say("hello")
    assert (one.hears(), other.hears()) == ("hello", "hello")
    talk.reload()
    # Those that were silent are told; what they would have said next they say when they have come again.
    for client in one, other:
        assert client.hears() == "* this room closes: connect again"
        assert client.hears() == ""
        client.close()
    assert len(bus(talk)) == 4
    one, other = clients_of_two_rooms(talk)
    one.say("here again")
    assert (one.hears(), other.hears()) == ("here again", "here again")
    one.close()
    other.close()
    assert talk.stop() == 0
    assert not bus(talk)


def test_killed_worker_cuts_off_only_its_clients(talk: Example) -> None:
    one, other = clients_of_two_rooms(talk)
    pid = room_of(one, talk)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert one.hears() == ""
    until(lambda: len(talk.workers("room")) == 4, "another room")
    again = Client(talk.port)
    again.say("what was that?")
    assert (again.hears(), other.hears()) == ("what was that?", "what was that?")
    until(lambda: len(bus(talk)) == 4, "nothing is left of the one that was killed")
    assert str(pid) not in [path.name for path in bus(talk)]
    for client in one, other, again:
        client.close()
    assert talk.stop() == 0
