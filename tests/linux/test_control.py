"""The control socket, with a real loop and real clients that are wrong, slow, greedy, or gone."""

from __future__ import annotations

import json
import os
import platform
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.stage import Stage, plan
from prefork._core import actions as act
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._master.control.connection import Connection, to_close
from prefork._master.control.place import opened
from prefork._master.control.replies import Replies
from prefork._master.control.requests import LONGEST
from prefork._master.control.server import CONNECTIONS, READERS, WAITING, Control
from prefork._master.control.view import DaemonView, Means, Origin
from prefork._master.loop import Master
from prefork._master.scoreboard.board import Board
from prefork._report.journal import Journal
from prefork._wire.scoreboard import Scoreboard


class Desk:
    """A supervisor with its control socket, and a loop that turns only when a test lets it."""

    def __init__(self, directory: Path, master: Master, stage: Stage) -> None:
        self.directory, self.master, self.stage = directory, master, stage
        self.journal, self.board = Journal(), Board(rows=64)
        self.asked_for_stacks: list[tuple[int, str, bool]] = []
        origin = Origin("/srv/shop", "shop:app")
        means = Means(lambda: {1: 4242}, self.board.reading, self.stacks, dict)
        seen = DaemonView(stage.supervisor, self.journal, means, origin, time.time())
        self.replies = Replies()
        self.control = Control(master, opened(str(directory), None), seen, self.replies)

    def stacks(self, asker: int, slot: str, force: bool) -> None:
        """A client asks for stacks."""
        self.asked_for_stacks.append((asker, slot, force))

    def turn(self) -> int:
        """One turn of the loop; return how many had news."""
        ready = self.master.selector.select(0)
        for key, _ in ready:
            key.data()
        return len(ready)

    def rest(self) -> int:
        """Turn until no descriptor has news; return how often."""
        turns = 0
        while self.turn():
            turns += 1
            assert turns < 20_000, "it never rests"
        return turns

    def happen(self, event: ev.Event) -> None:
        """Tell the supervisor, as the loop would, and show it to those who watch."""
        actions = self.stage.feed(event)
        self.control.publish(self.journal.note(event, actions, self.stage.now, time.time()).records)
        for action in actions:
            if isinstance(action, act.Reply):
                self.replies.deliver(action)

    def carry_on(self) -> None:
        """Let the supervisor hear what the control socket has told the loop."""
        while self.master._events:
            self.happen(self.master._events.popleft())

    def settle(self) -> None:
        """Let the world do its part."""
        while (event := next(iter(self.stage.world.kind_answers()), None)) is not None:
            self.happen(event)

    def client(self) -> Client:
        return Client(self.directory)


class Client:
    def __init__(self, directory: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        place = os.open(directory, os.O_PATH)
        self.socket.connect(f"/proc/self/fd/{place}/control.sock")
        os.close(place)
        self.socket.setblocking(False)

    def ask(self, request: str, **more: Any) -> None:
        self.send(json.dumps({"protocol": 1, "request": request, **more}).encode() + b"\n")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> bytes | None:
        """All that has come; None at the end."""
        data = b""
        try:
            while piece := self.socket.recv(1 << 20):
                data += piece
        except BlockingIOError:
            return data
        except ConnectionResetError:
            pass
        return data or None

    def all_lines(self, desk: Desk) -> list[dict[str, Any]]:
        """All that comes, however much that is: for more than fits into the socket the loop has to turn again."""
        data = b""
        while True:
            desk.rest()
            more = self.receive()
            if not more:
                return [json.loads(line) for line in data.splitlines()]
            data += more

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.receive() or b"").splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Master() as master:
        desk = Desk(tmp_path, master, Stage(plan()).start())
        yield desk
        desk.control.close()
        desk.board.close()
        assert not (tmp_path / "control.sock").exists()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_it_is_for_its_user_alone(desk: Desk) -> None:
    assert stat.S_IMODE((desk.directory / "control.sock").stat().st_mode) == 0o600


def test_a_status_is_the_supervisors_view_in_dates(desk: Desk) -> None:
    client = desk.client()
    client.ask("status")
    desk.rest()
    (answer,) = client.lines()
    status = answer["status"]
    assert {slot["key"]: slot["state"] for slot in status["slots"]} == dict.fromkeys(
        ("web/0", "web/1", "solo"), "ready"
    )
    assert status["pid"] == os.getpid()
    assert status["python"] == platform.python_version()
    assert [mold["pid"] for mold in status["molds"]] == [4242]
    assert status["slots"][0]["since"] == pytest.approx(time.time() - time.monotonic() + desk.stage.now, abs=5)
    slots = desk.stage.supervisor.view(desk.stage.now)["slots"]
    assert [slot["pid"] for slot in status["slots"]] == [slot["pid"] for slot in slots]


@pytest.mark.alone
def test_status_of_500_slots_holds_the_loop_under_1_ms(tmp_path: Path) -> None:
    with Master() as master:
        desk = Desk(tmp_path, master, Stage(plan(web=500, most=500)).start())
        longest = []
        for _ in range(15):
            client = desk.client()
            client.ask("status")
            spent, more = [], 1
            while more:
                before = time.thread_time()
                more = desk.turn()
                spent.append(time.thread_time() - before)
                data = client.receive()
                assert data is not None
            longest.append(max(spent))
            client.socket.close()
        print(f"longest turn of a status of 501 slots: {sorted(longest)[7] * 1e3:.2f} ms of processor time")
        assert min(longest) < 0.001
        desk.control.close()
        desk.board.close()


def test_status_without_a_reader_is_not_made(tmp_path: Path) -> None:
    with Master() as master:
        stage = Stage(plan(web=10_000, most=10_000))
        stage.feed(ev.Started())
        stage.feed(ev.MoldPlanned(1, stage.world.plans[1]))
        desk = Desk(tmp_path, master, stage)
        slow, quick = desk.client(), desk.client()
        slow.ask("status")
        turns = desk.rest()
        assert turns < 100, "only what fits into the socket's buffers"
        quick.ask("hello")
        desk.rest()
        assert quick.lines()[0]["protocol"] == 1
        data = b""
        while not data.endswith(b"\n"):
            data += slow.receive() or b""
            desk.rest()
        assert len(json.loads(data)["status"]["slots"]) == 10_001
        desk.control.close()
        desk.board.close()


def test_half_sent_request_delays_no_other_and_may_be_finished(desk: Desk) -> None:
    half, other = desk.client(), desk.client()
    half.send(b'{"protocol": 1, "req')
    desk.rest()
    other.ask("hello")
    desk.rest()
    assert other.lines()[0]["ok"]
    half.send(b'uest": "hello"}\n')
    desk.rest()
    assert half.lines()[0]["ok"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"reload",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b"{}",
        b"[" * 4000,
        b'{"protocol": ' + b"9" * 4000 + b"}",
        b'{"protocol": 2, "request": "hello"}',
        b'{"protocol": 1}',
        b'{"protocol": 1, "request": "explode"}',
        b'{"protocol": 1, "request": []}',
        b'{"protocol": 1, "request": "hello", "more": 1}',
        b'{"protocol": 1, "request": "restart"}',
        b'{"protocol": 1, "request": "restart", "slot": 5}',
        b'{"protocol": 1, "request": "restart", "slot": "' + b"x" * 300 + b'"}',
        b'{"protocol": 1, "request": "scale", "pool": "web"}',
        b'{"protocol": 1, "request": "scale", "pool": "web", "size": true}',
        b'{"protocol": 1, "request": "scale", "pool": "web", "size": -1}',
        b'{"protocol": 1, "request": "scale", "pool": "web", "size": 1e3}',
        b'{"protocol": 1, "request": "plan", "of": "world"}',
        b'{"protocol": 1, "request": "events", "follow": "yes"}',
        b'{"protocol": 1, "request": "stacks", "slot": 5}',
        b'{"protocol": 1, "request": "stacks", "force": "yes"}',
        b'{"protocol": 1, "request": "reload", "judge": "yes"}',
        b'{"protocol": 1, "request": "reload", "bake": NaN}',
        b'{"protocol": 1, "request": "reload", "canary_share": 0}',
        b'{"protocol": 1, "request": "reload", "judge_insufficient": "guess"}',
    ],
    ids=lambda line: line[:60].decode("latin1"),
)
def test_what_is_no_request_is_refused_and_hung_up_on(desk: Desk, line: bytes) -> None:
    before = descriptors()
    client = desk.client()
    client.send(line + b'\n{"protocol": 1, "request": "hello"}\n')
    desk.rest()
    answer, *rest = client.lines()
    assert (answer["ok"], answer["error"], rest) == (False, "malformed", [])
    assert client.receive() is None
    assert not desk.master._events
    client.socket.close()
    assert descriptors() == before


def test_a_request_that_does_not_end_is_cut_off(desk: Desk) -> None:
    client = desk.client()
    client.send(b"x" * (LONGEST + 1))
    desk.rest()
    assert "at most" in client.lines()[0]["text"]
    assert client.receive() is None


def test_requests_together_are_answered_one_in_a_turn(desk: Desk) -> None:
    client = desk.client()
    for slot in ("web/0", "web/1", "solo", "nobody"):
        client.ask("explain", slot=slot)
    desk.turn()
    desk.turn()
    assert len(client.lines()) < 4
    desk.rest()
    client.ask("hello")
    desk.rest()
    answers = client.lines()
    assert [answer["ok"] for answer in answers[-2:]] == [False, True]
    assert "there is no slot nobody" in answers[-2]["text"]


def test_a_command_is_answered_when_its_outcome_is_known(desk: Desk) -> None:
    client = desk.client()
    client.ask("scale", pool="web", size=3, events=True)
    desk.rest()
    desk.carry_on()
    begin = client.lines()
    assert [line.get("stage") for line in begin if line["event"] == "change"] == ["rolling"]
    desk.settle()
    *events, answer = begin + client.lines()
    of_slot = [event["event"] for event in events if event.get("slot") == "web/2"]
    assert of_slot == ["ordered", "ready", "change"]
    assert answer == {"ok": True, "text": "web: scaled to 3"}
    client.ask("status")  # The conversation goes on, and nothing is watched any more.
    desk.rest()
    assert [next(iter(line)) for line in client.lines()] == ["ok"]


def test_stacks_are_answered_when_they_have_been_written(desk: Desk) -> None:
    one, another, gone = desk.client(), desk.client(), desk.client()
    for client, more in (one, {}), (another, {"slot": "web/0", "force": True}), (gone, {"slot": None}):
        client.ask("stacks", **more)
        desk.rest()
    gone.socket.close()
    desk.rest()
    assert [asked[1:] for asked in desk.asked_for_stacks] == [("", False), ("web/0", True), ("", False)]
    for asker, slot, _ in reversed(desk.asked_for_stacks):
        desk.replies.deliver(act.Reply(asker, True, "1 workers", [{"slot": slot}]))
    for client, slot in (one, ""), (another, "web/0"):
        (answer,) = client.lines()
        assert answer == {"ok": True, "text": "1 workers", "data": [{"slot": slot}]}


def test_who_hangs_up_in_the_middle_of_a_command_is_not_missed(desk: Desk) -> None:
    before = descriptors()
    client = desk.client()
    client.ask("scale", pool="web", size=3, events=True)
    desk.rest()
    desk.carry_on()
    client.socket.close()
    desk.rest()
    assert descriptors() == before
    desk.settle()
    assert desk.stage.slot("web/2")["state"] == "ready"


def test_who_hangs_up_before_a_request_is_read_has_not_asked(desk: Desk) -> None:
    client = desk.client()
    client.ask("stop")
    client.socket.close()
    desk.rest()
    assert not desk.master._events


def test_who_has_said_all_still_hears_the_answer(desk: Desk) -> None:
    client = desk.client()
    client.ask("restart", slot="web/1")
    client.socket.shutdown(socket.SHUT_WR)
    desk.rest()
    desk.carry_on()
    desk.settle()
    desk.rest()
    assert client.lines() == [{"ok": True, "text": "restart: done (web/1)"}]
    assert client.receive() is None


def test_history_ends_where_what_happens_now_begins(desk: Desk) -> None:
    for _ in range(30):
        desk.happen(ev.CommandReceived(desk.stage.asked + 1000, cmd.Restart("web/0"), "me"))
        desk.settle()
    client = desk.client()
    client.ask("events", follow=True)
    desk.turn()
    desk.turn()
    desk.turn()
    desk.happen(ev.CommandReceived(9999, cmd.Restart("web/0"), "me"))  # while the history is being told
    desk.settle()
    told = client.all_lines(desk)
    desk.happen(ev.SignalReceived("QUIT"))
    answer, *events = told + client.all_lines(desk)
    assert answer == {"ok": True}
    numbers = [event["number"] for event in events if event.get("stage") != "settled"]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == desk.journal.number
    life = [event["event"] for event in events if (event.get("slot") == "web/0" and "after" in event) or "why" in event]
    assert life[-4:] == ["ordered", "ready", "draining", "ended"]


def test_slow_watcher_is_told_how_many_events_it_lost(desk: Desk) -> None:
    client = desk.client()
    client.ask("events", follow=True)
    desk.rest()
    for _ in range(3000):
        desk.happen(ev.SignalReceived("QUIT"))
        desk.stage.world.reports = ()
    (connection,) = desk.control._connections.values()
    assert len(connection.outgoing) <= WAITING
    lost = connection.lost
    assert lost > 0
    desk.rest()
    got = client.lines()
    desk.rest()
    got += client.lines()
    desk.happen(ev.SignalReceived("USR1"))
    desk.rest()
    told, last = client.lines()
    assert told == {"event": "lost", "count": lost}
    assert last["signal"] == "USR1"
    assert len(got) - 1 + lost == 3000 + 1 - 1


def test_idle_watcher_wakes_no_process(desk: Desk) -> None:
    client = desk.client()
    client.ask("events", follow=True)
    desk.rest()
    client.lines()
    client.send(b"whatever a watcher may say")
    assert not desk.master.selector.select(0.05)


def test_thousand_abandoned_connections_lock_no_client_out(desk: Desk) -> None:
    before = descriptors()
    abandoned = []
    for number in range(1000):
        client = desk.client()
        if number % 3 == 1:
            client.send(b'{"protocol": 1, "request": "st')
        elif number % 3 == 2:
            client.ask("events", follow=True)
        abandoned.append(client)
        desk.turn()
        if number % 100 == 99:
            asking = desk.client()
            asking.ask("hello")
            desk.rest()
            assert asking.lines()[0]["ok"]
            asking.socket.close()
    desk.rest()
    assert descriptors() <= before + len(abandoned) + CONNECTIONS
    for client in abandoned:
        client.socket.close()
    desk.rest()
    assert descriptors() == before


def test_user_with_the_most_connections_loses_one() -> None:
    one, other = socket.socketpair()
    with one, other:
        busy = [Connection(one, 1, uid, True, outgoing=bytearray(b"x")) for uid in (1001, 1002, 1002)]
        idle = [Connection(one, 1, uid, True) for uid in (1003, 1001, 1001)]
    assert to_close([*busy, *idle]) is idle[1]  # User 1001 has three; of these the first that is idle.
    assert to_close([*busy, idle[0]]) is busy[1]


def test_scoreboard_is_handed_over_read_only(desk: Desk) -> None:
    desk.board.start(4711, act.OrderWorker(4711, 1, "web/0", "a", ()))
    client = desk.client()
    client.ask("scoreboard")
    desk.rest()
    line, (descriptor,), _, _ = socket.recv_fds(client.socket, 1000, 4)
    assert json.loads(line) == {"ok": True}
    board = Scoreboard(descriptor, writable=False)
    assert [(row.name, row.pid) for row in board.read().rows] == [("web/0", 4711)]
    board.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(descriptor, b"x")
    os.close(descriptor)


def test_a_socket_that_a_killed_master_has_left_is_replaced(desk: Desk, tmp_path: Path) -> None:
    place = tmp_path / "again"
    place.mkdir()
    left = socket.socket(socket.AF_UNIX)
    here = os.open(place, os.O_PATH)
    left.bind(f"/proc/self/fd/{here}/control.sock")
    left.close()
    os.close(here)
    again = Desk(place, desk.master, desk.stage)
    client = again.client()
    client.ask("hello")
    again.rest()
    assert client.lines()[0]["ok"]
    again.control.close()
    again.board.close()


def test_connection_that_only_reads_has_places_of_its_own(desk: Desk) -> None:
    readers = [socket.socket(fileno=desk.control.connect_reader())]
    readers[0].setblocking(False)
    clients = [desk.client() for _ in range(CONNECTIONS)]
    desk.rest()
    for number in range(READERS + 1):
        readers[0].sendall(b'{"protocol": 1, "request": "connection"}\n')
        desk.rest()
        line, found, _, _ = socket.recv_fds(readers[0], 4096, 1)
        assert json.loads(line)["ok"] is (number + 1 < READERS), line
        readers += [socket.socket(fileno=each) for each in found]
    assert len(readers) == READERS
    for client in clients:
        client.ask("hello")
    desk.rest()
    assert all(client.lines()[0]["ok"] for client in clients), "none of them had to make room"
    for reader in readers:
        reader.close()
    desk.rest()
    assert len(desk.control._connections) == CONNECTIONS


def test_request_for_a_connection_is_for_those_that_only_read(desk: Desk) -> None:
    client = desk.client()
    client.ask("connection")
    desk.rest()
    (answer,) = client.lines()
    assert (answer["ok"], answer["error"]) == (False, "failed")
