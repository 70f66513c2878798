"""The scoreboard: its layout, whose row is which, and counts that never go back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import signal
import socket
import struct
import sys
import threading
import time
import timeit
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prefork.scoreboard
from prefork._core.actions import OrderWorker
from prefork._core.plan import Listener
from prefork._master.kept import board
from prefork._master.scoreboard.board import Board
from prefork._master.scoreboard.dead import Dead
from prefork._wire import measures, scoreboard
from prefork._wire.scoreboard import Reading, Row, Scoreboard
from prefork._worker.activity import Activity
from prefork._worker.peers import Peers
from scoreboards import attach
from support import PATIENCE, Start, kill, until
from system.daemons import HEAD, RUN, Served

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "scoreboard.md"
NAMES = {name: f"{name.upper()}_AT" for name in ("version", "rows", "half", "block", "latency", "queue")}
LISTENER = Listener("http", "tcp://127.0.0.1:0")


def ordered(name: str, generation: int = 1, listeners: tuple[Listener, ...] = (LISTENER,)) -> OrderWorker:
    return OrderWorker(0, generation, name, "digest", listeners)


class Small:
    """A board of few rows, with the workers that would be there."""

    def __init__(self, rows: int = 4) -> None:
        self.board = Board(rows)
        self.mapped = Scoreboard(self.board.descriptor)
        self.working: dict[int, Activity] = {}

    def start(self, pid: int, name: str, generation: int = 1) -> int:
        row = self.board.start(pid, ordered(name, generation))
        self.working[pid] = Activity(self.mapped, row)
        return row

    def count(self, pid: int, requests: int, errors: int = 0) -> None:
        for number in range(requests):
            self.working[pid].begin("GET /")
            self.working[pid].end(failed=number < errors, status=500 if number < errors else 200, sent=10)

    @property
    def rows(self) -> dict[int, Row]:
        return dict(enumerate(self.mapped.read().rows))

    @property
    def totals(self) -> tuple[int, int]:
        reading = self.mapped.read()
        return reading.requests, reading.errors

    @property
    def read(self) -> prefork.scoreboard.Reading:
        return prefork.scoreboard.Board(self.mapped).read()

    def of_slot(self, name: str) -> tuple[int, int]:
        return of_slot(self.mapped.read(), name)

    def __enter__(self) -> Small:
        return self

    def __exit__(self, *_: object) -> None:
        self.working.clear()
        self.mapped.close()
        self.board.close()


def of_slot(reading: Reading, name: str) -> tuple[int, int]:
    rows = [row for row in reading.rows if row.name == name]
    return sum(row.requests + row.before_requests for row in rows), sum(row.errors + row.before_errors for row in rows)


@pytest.fixture
def small() -> Iterator[Small]:
    with Small() as small:
        yield small


@pytest.fixture
def larger() -> Iterator[Small]:
    with Small(rows=8) as larger:
        yield larger


def test_the_layout_is_what_other_languages_are_told(small: Small) -> None:
    small.start(41, "web/0")
    row = small.start(42, "web/1", generation=7)
    assert row == 1
    small.board.turn(42, "ready")
    activity = small.working[42]
    activity.opened()
    activity.opened()
    activity.begin("GET /orders")
    activity.begin("GET /orders")
    activity.end(failed=True)
    data = os.pread(small.board.descriptor, 1 << 20, 0)
    assert len(data) == 256 + 4 * (512 + 2048) + 9 * 2048
    assert struct.unpack_from("8s5Q", data) == (b"prefork\0", 2, 4, 256, 256, 256 + 4 * 256)
    assert struct.unpack_from("3Q", data, 104) == (2048, 256 + 4 * 512, 256 + 4 * (512 + 2048))
    changes, used, dead_requests, dead_errors = struct.unpack_from("4Q", data, 48)
    assert (changes % 2, used, dead_requests, dead_errors) == (0, 2, 0, 0)
    beat, busy_since, *counts = struct.unpack_from("2d5Q", data, 256 + 256)
    assert (beat, counts) == (0.0, [1, 1, 2, 1, 2])
    assert busy_since > 0
    assert data[256 + 256 + 64 : 256 + 256 + 128] == b"GET /orders".ljust(64, b"\0")
    assert data[256 + 256 + 128 : 256 + 512] == bytes(128), "no threads that handle one request each"
    master = 256 + 4 * 256 + 256
    assert struct.unpack_from("4Q", data, master) == (42, 7, 2, 1)
    assert struct.unpack_from("QqQQQ", data, master + 40) == (0, 0, 0, 0, 0)
    assert data[master + 80 : master + 128] == b"web/1".ljust(48, b"\0")
    block = 256 + 4 * 512 + 2048
    generation, latency, *rest = struct.unpack_from("Q3d", data, block)
    assert (generation, rest) == (0, [0.0, 0.0])
    assert 0 < latency <= time.monotonic() - busy_since + 1
    assert struct.unpack_from("6Q", data, block + 32) == (1, 0, 0, 0, 0, 0), "it was given no status"
    assert sum(struct.unpack_from("154Q", data, block + 128)) == 1


def test_size_is_sealed_and_descriptor_not_inherited() -> None:
    descriptor = scoreboard.create(rows=4)
    size = os.fstat(descriptor).st_size
    for other in (size - 1, size + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, other)
    with pytest.raises(PermissionError):
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_all_its_rows_take_no_memory_before_they_are_used() -> None:
    board = Board()
    assert os.fstat(board.descriptor).st_blocks * 512 < 64 * 1024
    board.close()


def test_a_core_file_leaves_it_out() -> None:
    """The kernel would take memory for each row, to write it: 168 MB for each core."""
    board = Board()
    mapping = Path("/proc/self/smaps").read_text().partition("/memfd:prefork-scoreboard")[2]
    assert " dd" in re.search("^VmFlags:(.*)$", mapping, re.MULTILINE)[1]  # type: ignore[index]
    board.close()


def test_what_is_no_scoreboard_is_refused(start: Start) -> None:
    plain = os.memfd_create("plain", os.MFD_ALLOW_SEALING)
    os.ftruncate(plain, 4096)
    with pytest.raises(ValueError, match="its size is not sealed"):
        Scoreboard(plain)
    fcntl.fcntl(plain, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    with pytest.raises(ValueError, match="not a scoreboard"):
        Scoreboard(plain)
    for version in (1, 3):
        os.pwrite(plain, struct.pack("8sQ", b"prefork\0", version), 0)
        with pytest.raises(ValueError, match=f"it has version {version}, and this prefork reads version 2"):
            Scoreboard(plain)
    os.close(plain)


def test_next_master_goes_on_with_a_damaged_head(small: Small) -> None:
    """A worker can write there, and must not keep the next master from its start."""
    small.start(1, "web/0")
    small.count(1, 5)
    small.mapped.bytes[:48] = bytes(48)
    small.mapped.bytes[scoreboard.BLOCK_AT * 8 : scoreboard.BLOCK_AT * 8 + 24] = b"x" * 24
    board.restore(small.board, board.save(small.board))
    with contextlib.closing(Scoreboard(small.board.descriptor, writable=False)) as mapped:
        assert [(row.name, row.pid, row.requests) for row in mapped.read().rows] == [("web/0", 1, 5)]


def test_a_row_outlives_its_worker_and_says_how_it_ended(small: Small) -> None:
    row = small.start(41, "web/0")
    small.board.turn(41, "ready")
    small.working[41].begin("GET /stuck")
    small.count(41, 3)
    small.board.end(41, -9)
    left = small.rows[row]
    assert (left.name, left.pid, left.state, left.ends, left.last_exit) == ("web/0", 41, "ended", 1, -9)
    assert (left.label, left.in_flight, left.requests) == ("GET /", 1, 3)
    assert small.totals == (3, 0)


def test_successor_takes_row_and_counts_of_predecessor(small: Small) -> None:
    row = small.start(41, "web/0")
    small.start(42, "web/1")
    small.count(41, 3, errors=1)
    small.board.end(41, 0)
    assert small.start(43, "web/0", generation=2) == row
    now = small.rows[row]
    assert (now.pid, now.generation, now.state, now.ends) == (43, 2, "starting", 1)
    assert (now.requests, now.before_requests, now.before_errors, now.label) == (0, 3, 1, "")
    small.count(43, 2)
    assert small.of_slot("web/0") == (5, 1)
    assert small.totals == (5, 1)


def test_a_replacement_has_a_row_of_its_own_while_both_live(small: Small) -> None:
    old = small.start(41, "web/0")
    small.board.turn(41, "ready")
    small.count(41, 3)
    new = small.start(42, "web/0", generation=2)
    assert new != old
    small.board.turn(42, "ready")
    small.board.turn(41, "draining")
    small.count(41, 1)
    small.count(42, 1)
    assert small.of_slot("web/0") == small.totals == (5, 0)
    small.board.end(41, 0)
    assert [small.rows[row].state for row in (old, new)] == ["ended", "ready"]
    assert small.rows[new].before_requests == 4
    assert small.of_slot("web/0") == small.totals == (5, 0)
    # And the next one finds the first row again.
    assert small.start(43, "web/0") == old
    assert small.of_slot("web/0") == small.totals == (5, 0)


def test_what_comes_late_leads_no_row_back(small: Small) -> None:
    row = small.start(41, "web/0")
    small.board.turn(41, "draining")
    small.board.turn(41, "ready")
    assert small.rows[row].state == "draining"
    small.board.end(41, 0)
    small.board.turn(41, "draining")
    small.board.end(41, 0)
    assert (small.rows[row].state, small.rows[row].ends) == ("ended", 1)


def test_more_slots_than_rows_reuses_the_longest_ended(small: Small) -> None:
    for number in range(4):
        assert small.start(number + 1, f"web/{number}") == number
        small.count(number + 1, 1)
    assert small.start(5, "web/4") == -1
    small.count(5, 1)  # With no row it counts for itself.
    small.board.turn(5, "ready")
    small.board.end(5, 0)
    small.board.end(3, 0)
    small.board.end(1, 0)
    assert small.start(6, "web/5") == 2
    assert small.start(7, "web/0") == 0
    assert small.start(8, "web/6") == -1
    # What ended workers have counted stays in the daemon's totals, also when their row is used again.
    assert small.totals == (4, 0)
    assert small.of_slot("web/0") == (1, 0)


def test_workers_that_accept_from_the_same_queue_are_a_group(larger: Small) -> None:
    other = Listener("admin", "tcp://127.0.0.1:1")
    shard = Listener("http", "tcp://127.0.0.1:0", "sharded")
    orders = [
        ordered("web/0"),
        ordered("web/1", generation=2),
        ordered("admin/0"),
        ordered("web/2", listeners=(LISTENER, other)),
    ]
    groups = [larger.mapped.group(larger.board.start(pid, order)) for pid, order in enumerate(orders, 1)]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3
    assert 0 not in groups
    for pid, listeners in ((10, ()), (11, (shard,)), (12, (shard, other))):
        assert larger.mapped.group(larger.board.start(pid, ordered(f"x/{pid}", listeners=listeners))) == 0


def test_peers_are_those_that_are_ready_for_the_same_queue(larger: Small) -> None:
    own = larger.start(1, "web/0")
    row = larger.start(2, "web/1")
    larger.start(3, "other/0")
    peers = Peers(larger.mapped, own)
    assert peers.read() == []
    for pid in (1, 2, 3):
        larger.board.turn(pid, "ready")
    assert peers.read() == [(row, 0, 0)]
    larger.working[2].opened()
    larger.working[2].opened()
    larger.working[2].closed()
    assert peers.read() == [(row, 1, 2)]
    last = larger.start(4, "web/2")
    assert peers.read() == [(row, 1, 2)]
    larger.board.turn(4, "ready")
    assert peers.read() == [(row, 1, 2), (last, 0, 0)]
    larger.board.turn(2, "draining")
    assert peers.read() == [(last, 0, 0)]
    larger.board.end(4, 0)
    assert peers.read() == []


def test_what_dead_workers_have_measured_stays(small: Small) -> None:
    small.start(41, "web/0")
    small.start(42, "web/1")
    small.count(41, 3, errors=1)
    small.count(42, 1)
    before = small.read
    assert (before.measures.responses, before.measures.sent) == ((0, 0, 3, 0, 0, 1), 40)
    assert before.measures == before.generations[1]
    small.board.end(41, -9)
    assert small.read.measures == before.measures
    assert small.read.generations == before.generations
    small.start(43, "web/0", generation=2)
    small.count(43, 2)
    now = small.read
    assert (now.measures - before.measures).responses == (0, 0, 2, 0, 0, 0)
    assert {number: each.latency.count for number, each in now.generations.items()} == {1: 4, 2: 2}
    assert {each.pid: each.measures.latency.count for each in now.processes} == {42: 1, 43: 2}


def test_generations_are_the_latest_eight(small: Small) -> None:
    lasting = small.start(1, "web/0", generation=1)
    small.count(1, 1)
    for generation in range(2, 20):
        small.start(generation, "web/1", generation)
        small.count(generation, generation)
        small.board.end(generation, 0)
    counts = {number: each.latency.count for number, each in small.read.generations.items()}
    assert counts == {number: number for number in range(12, 20)}
    assert small.read.measures.latency.count == sum(range(1, 20))
    # One that has drained for so long is in the totals only.
    small.board.end(1, 0)
    assert small.read.generations.keys() == counts.keys()
    assert small.read.measures.latency.count == sum(range(1, 20))
    assert small.rows[lasting].state == "ended"


def test_garbage_in_a_block_ends_no_fold(small: Small) -> None:
    small.start(41, "web/0")
    start = small.mapped.block_words(0) * 8
    small.mapped.bytes[start : start + measures.BLOCK] = b"\xff" * measures.BLOCK
    small.board.end(41, 0)
    small.start(42, "web/0")
    small.count(42, 2)
    small.board.end(42, 0)
    total = small.read.measures
    assert total.responses[2] == 1, "2**64 - 1 and 2 more"
    assert 0 <= total.latency.total < 1
    assert total.lag == 0.0


def test_the_fold_costs_a_master_no_time(small: Small) -> None:
    small.start(41, "web/0")
    start = small.mapped.block_words(0) * 8
    small.mapped.bytes[start : start + measures.BLOCK] = b"\x7f" * measures.BLOCK
    block = measures.read(small.mapped.words, small.mapped.floats, start // 8)
    fold = Dead(small.mapped).add
    assert min(timeit.repeat(lambda: fold(block, 1), number=10, repeat=20)) / 10 < 500e-6


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    deeds = st.sampled_from(["start", "count", "end"])
    return draw(st.lists(st.tuples(deeds, st.integers(0, 5), st.integers(0, 3)), max_size=60))


@settings(deadline=None)  # It is no measure of the machine's load.
@given(lives())
def test_no_count_is_lost_or_goes_back_whatever_happens(deeds: list[tuple[str, int, int]]) -> None:
    """Six slots over four rows; what is counted without a row, or by a slot that was forgotten, is not in there."""
    with Small(rows=4) as small:
        pids = iter(range(1, 1000))
        living: dict[int, tuple[str, int]] = {}
        counted, slots = 0, Counter[str]()
        for what, number, more in deeds:
            name = f"web/{number}"
            if what == "start":
                pid = next(pids)
                living[pid] = name, small.start(pid, name, generation=1 + number % 3)
            elif living and what == "count":
                pid = list(living)[number % len(living)]
                small.count(pid, more)
                counted += more if living[pid][1] >= 0 else 0
                slots[living[pid][0]] += more if living[pid][1] >= 0 else 0
            elif living:
                pid = list(living)[number % len(living)]
                small.board.end(pid, 0)
                del living[pid]
            reading = small.mapped.read()
            assert reading.requests == counted
            found = small.read
            assert found.measures.latency.count == found.measures.responses[2] == counted
            assert sum(each.latency.count for each in found.generations.values()) == counted
            rows = [row for _, row in living.values() if row >= 0]
            assert len(rows) == len(set(rows))
            names = {row.name for row in reading.rows}
            slots = Counter({name: count for name, count in slots.items() if name in names})
            for name in names:
                assert of_slot(reading, name) == (slots[name], 0)


COUNTING = """
daemon = prefork.Daemon("counting", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0), Web(1)]

@daemon.worker(Web, KIND)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        with connection:
            asked = connection.recv(1)
            if asked == b"f":
                if (child := os.fork()) == 0:
                    connection.close()
                    os._exit(0)
                os.waitpid(child, 0)
            with worker.request("GET /slow" if asked == b"w" else "GET /orders"):
                if asked == b"w":
                    connection.sendall(b"working")
                    connection.recv(1)
            connection.sendall(f"{worker.key} g{worker.generation} {os.getpid()} ".encode())
            connection.recv(1)
"""


def counting(start: Start, kind: str = "") -> tuple[Served, Scoreboard]:
    daemon = Served(start, "counting", HEAD + COUNTING.replace("KIND", kind) + RUN).launch()
    daemon.ready("web/0", "web/1")
    return daemon, attach(daemon.running.pid)


def connect(daemon: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE)


def ask(daemon: Served) -> bytes:
    with connect(daemon) as client:
        client.sendall(b"x")
        return client.recv(100)


class Clients:
    """Two that ask all the time, and count; an answer that does not come is no failure here."""

    def __init__(self, daemon: Served) -> None:
        self._daemon = daemon
        self._stopping = False
        self._threads = [threading.Thread(target=self._ask_on_and_on) for _ in range(2)]
        self.asked, self.answered = [0, 0], [0, 0]

    def __enter__(self) -> Clients:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for each in self._threads:
            each.join()

    def _ask_on_and_on(self) -> None:
        number = self._threads.index(threading.current_thread())
        while not self._stopping:
            self.asked[number] += 1
            with contextlib.suppress(ConnectionError):
                self.answered[number] += ask(self._daemon) != b""


class Reader:
    """Reads again and again, in a thread, and notes what has gone back."""

    def __init__(self, board: Scoreboard) -> None:
        self._board = board
        self._stopping = False
        self._thread = threading.Thread(target=self._read_on_and_on)
        self.readings = 0
        self.back: list[str] = []

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join()

    def _read_on_and_on(self) -> None:
        before: dict[str, float] = {}
        board = prefork.scoreboard.Board(self._board)
        while not self._stopping:
            reading = board.read()
            now: dict[str, float] = {name: counts.requests for name, counts in reading.slots.items()}
            now["all"] = reading.requests
            for name, each in [("measured", reading.measures), *reading.generations.items()]:
                now |= {f"{name}": each.latency.count, f"{name}'s seconds": each.latency.total}
                now |= {f"{name}'s responses": sum(each.responses)}
            self.back += [f"{name}: {before[name]} -> {now[name]}" for name in before if now[name] < before[name]]
            before = now
            self.readings += 1


ACTS = ["kill", "kill", "reload", "kill", "kill", "reload", "kill", "kill"]


def exchanged(board: Scoreboard, before: dict[str, int]) -> int:
    """Return how many slots have another worker, where each has one."""
    now = live(board)
    return sum(now[name] != pid for name, pid in before.items()) if now.keys() == before.keys() else 0


def test_totals_never_go_back_through_kills_and_reloads(start: Start) -> None:
    daemon, board = counting(start)
    with Reader(board) as reader, Clients(daemon) as clients:
        for number, act in enumerate(ACTS):
            before, asked = live(board), sum(clients.answered)
            until(lambda: sum(clients.answered) > asked + 20, "requests")  # noqa: B023
            if act == "reload":
                daemon.signal(signal.SIGHUP)
            else:
                kill([before[f"web/{number % 2}"]])
            until(lambda: exchanged(board, before) == (2 if act == "reload" else 1), f"{act} over")  # noqa: B023
    assert reader.readings > 8
    assert reader.back == []
    # A worker counts before it answers.
    assert sum(clients.answered) <= board.read().requests <= sum(clients.asked)
    assert sum(of_slot(board.read(), name)[0] for name in before) == board.read().requests
    ends = {row.name: row.ends for row in board.read().rows if row.state == "ready"}
    assert sum(ends.values()) == ACTS.count("kill") + 2 * ACTS.count("reload")
    # A killed worker may have counted a request and not yet how long it took.
    counted = prefork.scoreboard.Board(board).read()
    assert 0 <= counted.requests - counted.measures.latency.count <= ACTS.count("kill")
    assert counted.generations.keys() == {1, 2, 3}
    assert sum(each.latency.count for each in counted.generations.values()) == counted.measures.latency.count
    assert daemon.stop() == 0


def live(board: Scoreboard) -> dict[str, int]:
    return {row.name: row.pid for row in board.read().rows if row.state == "ready"}


def test_rows_agree_with_what_happens_in_a_reload(start: Start) -> None:
    daemon, board = counting(start)
    held = connect(daemon)
    until(lambda: sum(row.open for row in board.read().rows) == 1, "the connection")
    daemon.signal(signal.SIGHUP)
    # Whose slot comes second is not exchanged before the first has gone.
    until(lambda: "draining" in states(board, generation=1), "one drains")
    assert "ready" in states(board, generation=2)
    held.sendall(b"x")
    assert held.recv(100).startswith(b"web/")
    held.close()
    until(lambda: states(board, generation=1) == ["ended", "ended"], "the end of both")
    assert states(board, generation=2) == ["ready", "ready"]
    assert board.read().requests == 1
    first = [row for row in board.read().rows if row.generation == 1]
    assert {(row.ends, row.last_exit, row.in_flight, row.open) for row in first} == {(1, 0, 0, 0)}
    assert {row.pid for row in board.read().rows if row.state == "ready"} < set(daemon.running.children())
    assert daemon.stop() == 0


def states(board: Scoreboard, generation: int) -> list[str]:
    return sorted(row.state for row in board.read().rows if row.generation == generation)


def test_a_worker_with_an_interpreter_of_its_own_has_a_row(start: Start) -> None:
    daemon, board = counting(start, kind='spawn="exec"')
    assert ask(daemon).startswith(b"web/")
    assert board.read().requests == 1
    assert [row.label for row in board.read().rows if row.requests] == ["GET /orders"]
    assert daemon.stop() == 0


def test_a_child_of_the_application_leaves_the_row_alone(start: Start) -> None:
    daemon, board = counting(start)
    with connect(daemon) as client:
        client.sendall(b"f")
        assert client.recv(100)
        assert sum(row.open for row in board.read().rows) == 1
    assert daemon.stop() == 0


def test_the_reader_in_the_documentation_reads(start: Start) -> None:
    daemon, _ = counting(start)
    program = DOCUMENTATION.read_text().rpartition("```python\n")[2].partition("```")[0]
    with connect(daemon) as client:
        client.sendall(b"w")
        assert client.recv(100)
        reader = start.command(sys.executable, "-c", program, str(daemon.running.pid))
        assert reader.wait() == 0
    found = [line.split(" ", 4) for line in reader.out]
    assert sorted(name for name, *_ in found) == ["web/0", "web/1"]
    assert {state for _, state, *_ in found} == {"ready"}
    assert sorted((requests, doing[:17]) for *_, requests, doing in found) == [
        ("0", "GET /slow since 0"),
        ("0", "idle"),
    ]
    assert daemon.stop() == 0


SIZES = {"header": scoreboard.HEADER, "master_half": scoreboard.HALF, "worker_half": scoreboard.HALF} | {
    "block": measures.BLOCK
}


@pytest.mark.parametrize("name", SIZES)
def test_structures_in_documentation_match_the_code(name: str) -> None:
    body = re.search(rf"struct {name} \{{(.*?)\n\}};", DOCUMENTATION.read_text(), re.DOTALL)
    assert body
    offset = 0
    for type_, field, count in re.findall(r"^ +(char|u?int64_t|double) +(\w+)(?:\[(\d+)\])?;", body[1], re.MULTILINE):
        if type_ == "char" and field != "magic":
            assert offset == getattr(scoreboard, f"{field.upper()}_OFFSET")
        elif field != "magic" and not field.startswith("reserved"):
            constant = NAMES.get(field, field.upper())
            assert offset == 8 * getattr(measures if name == "block" else scoreboard, constant)
        offset += int(count or 1) * (1 if type_ == "char" else 8)
    assert offset == SIZES[name]


def test_only_daemon_processes_have_the_descriptor(start: Start) -> None:
    daemon, _ = counting(start)
    for pid in daemon.running.children():
        held = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
        assert held.count(f"/memfd:{scoreboard.NAME} (deleted)") == 1
    assert daemon.stop() == 0


@pytest.mark.parametrize("seed", range(20))
def test_garbage_is_read_soon_or_refused_with_the_reason(seed: int) -> None:
    chance = random.Random(seed)
    descriptor = scoreboard.create(1000)
    header = list(struct.unpack("=32Q", os.pread(descriptor, 256, 0)))
    for _ in range(chance.randrange(4)):
        header[chance.randrange(2, 32)] = chance.choice((0, 1, 2**60, 2**63, 2**64 - 1))
    os.pwrite(descriptor, struct.pack("=32Q", *header), 0)
    os.pwrite(descriptor, chance.randbytes(50_000), scoreboard.HALF * chance.randrange(1, 10_000))
    began = time.process_time()
    refused = pytest.raises(ValueError, match=r"not a scoreboard|damaged")
    with refused if header[2:4] != [1000, scoreboard.HALF] else contextlib.nullcontext():
        board = Scoreboard(descriptor, writable=False)
        assert len(board.read().rows) <= 1000
        board.close()
    os.close(descriptor)
    assert time.process_time() - began < 1


def test_all_rows_marked_as_used_are_read_soon() -> None:
    descriptor = scoreboard.create()
    os.pwrite(descriptor, struct.pack("=2Q", 1, 2**63), 48)  # Changes odd for ever, and every row used.
    board = Scoreboard(descriptor, writable=False)
    began = time.process_time()
    assert board.read().rows == ()
    assert time.process_time() - began < 1
    board.close()
    os.close(descriptor)
