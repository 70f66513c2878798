"""Orphans and a master that adopts them: what they hand over, whom they answer, and that they are workers again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prefork._linux.channel import Channel
from prefork._linux.subreaper import become_subreaper
from prefork._master.adoption.collect import Wanted, collect
from prefork._master.adoption.marks import Mark, mark
from prefork._master.adoption.orphan_sockets import adopt, connected
from prefork._wire.messages import CutDrain, HandedOver, Ready, ReplacementRequested
from prefork._wire.places import orphan_address
from small_master import PATIENCE, SOURCE, readable
from support import gone, kill, until

pytestmark = pytest.mark.processes

MASTER = """
import json, os, sys
from prefork._master.adoption.marks import mark
from dataclasses import astuple
from small_master import SmallMaster
with SmallMaster() as master:
    master.planned()
    do, options = json.loads(sys.argv[1])
    workers = [master.worker(do, orphan_grace=60.0, takeover_timeout=60.0, **options) for _ in range(2)]
    shared = {"lifeline": master.reader, "board": master.board, "listener": master.listener.fileno()}
    marks = {name: astuple(mark(number)) for name, number in shared.items()}
    print(json.dumps({"workers": workers, "marks": marks, "at": master.listener.getsockname()}), flush=True)
    sys.stdin.readline()
"""


class Left:
    """What a master has left that was killed: two workers, and the marks of what they hold."""

    def __init__(self, do: str, **options: Any) -> None:
        become_subreaper()
        path = os.pathsep.join([SOURCE, str(Path(__file__).parent.parent)])
        command = [sys.executable, "-c", MASTER, json.dumps([do, options])]
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **streams, env={**os.environ, "PYTHONPATH": path}) as process:
            assert process.stdout
            readable(process.stdout)
            found = json.loads(process.stdout.readline())
            process.kill()
        self.workers: list[int] = found["workers"]
        self.at = tuple(found["at"])
        self.marks = {name: Mark(*values) for name, values in found["marks"].items()}
        self.lifeline = int(self.marks["lifeline"].name.partition(":")[2])

    def wanted(self) -> Wanted:
        names = tuple(each.name for each in self.marks.values())
        return Wanted(
            self.lifeline, {each.name: each for each in self.marks.values()}, dict.fromkeys(self.workers, names)
        )

    def ask(self) -> int:
        with socket.create_connection(self.at, timeout=PATIENCE) as connection:
            return int(json.loads(connection.makefile().read())["pid"])


@pytest.fixture
def left() -> Iterator[Left]:
    made = Left("serve")
    yield made
    kill(made.workers)
    assert all(gone(pid) for pid in made.workers)


def writer_of(found: dict[str, int], left: Left) -> int:
    return os.open(f"/proc/self/fd/{found[left.marks['lifeline'].name]}", os.O_WRONLY | os.O_NONBLOCK)


def test_orphans_hand_over_what_their_master_has_passed(left: Left) -> None:
    found = collect(left.wanted())
    assert found.answered == set(left.workers)
    assert {name: mark(number) for name, number in found.descriptors.items()} == left.wanted().marks
    listener = socket.socket(fileno=os.dup(found.descriptors[left.marks["listener"].name]))
    assert listener.getsockname() == left.at
    listener.close()
    found.close()


def test_what_has_another_mark_is_not_taken(left: Left) -> None:
    wanted = left.wanted()
    marks = {name: replace(each, number=each.number + 1) for name, each in wanted.marks.items()}
    found = collect(replace(wanted, marks=marks))
    assert (found.answered, found.descriptors) == (frozenset(left.workers), {})


def test_adopted_worker_reports_and_obeys_again(left: Left) -> None:
    found = collect(left.wanted())
    writer = writer_of(found.descriptors, left)
    pid = left.workers[0]
    channel = adopt(pid, left.lifeline)
    told = channel.hear()
    assert told is not None
    assert isinstance(told.message, Ready)
    until(lambda: left.ask() == pid, "its answer")
    channel.send(CutDrain(60.0))
    os.kill(pid, signal.SIGTERM)
    assert gone(pid)
    assert channel.hear() is not None  # Drained.
    channel.close()
    os.close(writer)
    found.close()


def test_adopted_worker_becomes_an_orphan_again(left: Left) -> None:
    pid = left.workers[0]
    for _ in range(3):
        found = collect(left.wanted())
        assert pid in found.answered
        writer = writer_of(found.descriptors, left)
        channel = adopt(pid, left.lifeline)
        assert channel.hear() is not None
        channel.close()
        os.close(writer)
        found.close()
    assert not gone(pid, 0)


def test_adoption_by_a_master_that_has_died_meanwhile(left: Left) -> None:
    """No process holds the lifeline's write end when the orphan changes over: it is one again at once."""
    pid = left.workers[0]
    for _ in range(3):
        until(lambda: connects(pid, left), "an orphan that listens")
        adopt(pid, left.lifeline).close()
    assert pid in collect(left.wanted()).answered


def connects(pid: int, left: Left) -> bool:
    try:
        connected(pid, left.lifeline).close()
    except OSError:
        return False
    return True


def test_a_request_for_a_successor_is_sent_again() -> None:
    left = Left("worn")
    pid = left.workers[0]
    try:
        found = collect(left.wanted())
        writer = writer_of(found.descriptors, left)
        channel = adopt(pid, left.lifeline)
        assert [type(told.message) for told in (channel.hear(), channel.hear()) if told] == [
            Ready,
            ReplacementRequested,
        ]
        os.close(writer)
    finally:
        kill(left.workers)


def test_orphan_that_closes_a_connection_is_asked_again() -> None:
    """As one does that another master has adopted, and that is an orphan again."""
    pid = os.fork()
    if pid == 0:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(orphan_address(3, os.getpid()))
            listening.listen()
            closed = listening.accept()[0]
            closed.recv(1, socket.MSG_PEEK)  # It has been asked.
            closed.close()
            channel = Channel(listening.accept()[0])
            channel.receive()
            channel.send(HandedOver(()))
        os._exit(0)
    answered = collect(Wanted(3, {}, {pid: ()})).answered
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert answered == {pid}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_gets_no_answer(left: Left) -> None:
    until(lambda: connects(left.workers[0], left), "an orphan that listens")
    pid = os.fork()
    if pid == 0:
        os.setuid(54_322)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(PATIENCE)
        sock.connect(orphan_address(left.lifeline, left.workers[0]))
        os._exit(0 if sock.recv(100) == b"" else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_address_that_another_process_has_is_not_asked() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(orphan_address(2, 1))
        other.listen()
        for connect in connected, adopt:
            with pytest.raises(ConnectionRefusedError, match="another process"):
                connect(1, 2)
