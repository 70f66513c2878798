"""A master is killed with all its processes; a descriptor store keeps its sockets, and the next one has them."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from asking import Asking
from prefork._wire.stored import name_of
from stores import Stored, stored
from support import PATIENCE, PROOF, Start, gone, until
from system.daemons import HEAD, RUN, SERVE, free_port
from system.test_adoption import SHARDED, noted, slots

KILLS = 20
often = pytest.mark.skipif(not PROOF, reason="make proof runs it")


class Callers(Asking):
    """Threads that connect in a closed loop. A connection that a worker had accepted is cut when that is killed."""

    def __init__(self, port: int, count: int = 4, request: bytes = b"") -> None:
        super().__init__(self._call, count, 2 * PATIENCE)
        self._port, self._request = port, request
        self.answered, self.cut, self.refused = [0] * count, [0] * count, list[OSError]()

    def more(self, count: int = 20) -> None:
        """Wait until `count` more have been answered to each."""
        goals = [before + count for before in self.answered]
        until(lambda: bool(self.refused) or all(map(int.__le__, goals, self.answered)), "more answers")

    def _call(self, number: int) -> None:
        while not self.stopping:
            try:
                client = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
            except OSError as error:
                self.refused.append(error)
                return
            answer = b""
            with client, suppress(ConnectionResetError, BrokenPipeError):
                client.sendall(self._request)
                answer = client.recv(1000)
            (self.answered if answer else self.cut)[number] += 1
            time.sleep(0.005)


def launched(start: Start, *keys: str, source: str | None = None) -> tuple[Stored, dict[str, int]]:
    """Return a daemon of which the store has all, and the pids of its workers."""
    served = stored(start, "adopted", source)
    served.launch()
    pids = served.ready(*keys)
    settle(served, pids)
    return served, pids


def settle(served: Stored, pids: dict[str, int]) -> None:
    until(lambda: noted(served) >= set(pids.values()), "the note of the workers")
    until(lambda: notes_are_held(served), "the store has the notes")
    until(lambda: {"socket", "roster"} <= {name.split("-")[2] for name in served.store.names}, "what is held")


def notes_are_held(served: Stored) -> bool:
    """Return whether the store has the files that are written in turn; what is written later is in these."""
    files = (served.start.directory / "runtime").glob("workers-*")
    return {name_of(file.name, file.stat().st_ino) for file in files} <= set(served.store.names)


def refuses(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1.0)  # While the socket is being closed, it drops what begins a connection.
        return client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def killed(served: Stored) -> None:
    """Kill all, and remove the runtime directory as systemd does; start the next master."""
    served.kill_group()
    shutil.rmtree(served.start.directory / "runtime")
    served.launch()
    served.running.expect("adopted the sockets and counts of a killed master", "err")


@often
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("sharing", ["shared", "sharded"])
def test_no_connection_is_refused_after_a_whole_group(start: Start, sharing: str) -> None:
    served, pids = launched(
        start, "web/0", "web/1", "web/2", source=HEAD + SHARDED.replace("sharded", sharing) + SERVE + RUN
    )
    with Callers(served.port) as callers:
        for _ in range(KILLS):
            callers.more()
            killed(served)
            pids = served.ready("web/0", "web/1", "web/2")
            settle(served, pids)
        callers.more()
    assert callers.refused == []
    assert sum(callers.cut) <= KILLS * 4, "each of the callers had one connection that was accepted"
    found = slots(served)
    assert {key: slot["pid"] for key, slot in found.items()} == pids
    assert {(slot["generation"], slot["restarts"]) for slot in found.values()} == {(1, 0)}
    assert served.stop() == 0
    until(lambda: not served.store.held, "nothing is held after a stop")


def test_connection_waits_for_the_next_master(start: Start) -> None:
    served, _ = launched(start, "web/0", "web/1", "web/2", source=HEAD + SHARDED + SERVE + RUN)
    served.kill_group()
    waiting = [socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) for _ in range(30)]
    served.launch()
    for client in waiting:
        with client:
            assert client.recv(1000).startswith(b"web/")
    assert served.stop() == 0


@often
def test_broken_code_lets_connections_wait_for_a_reload(start: Start) -> None:
    served, _ = launched(start, "web/0", "web/1")
    served.kill_group()
    served.write(plan="1 / 0")
    served.launch()
    served.running.expect("ZeroDivisionError", "err")
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as client:
        served.write()
        served.signal(signal.SIGHUP)
        assert client.recv(1000).startswith(b"web/")
    served.running.expect("reload: done", "err")
    assert served.stop() == 0


def test_surviving_workers_are_adopted_with_the_store(start: Start) -> None:
    """The manager has killed the master alone, and removed the runtime directory with its roster."""
    served, pids = launched(start, "web/0", "web/1")
    for _ in range(2):
        served.signal(signal.SIGKILL)
        served.running.wait()
        shutil.rmtree(start.directory / "runtime")
        served.launch()
        served.running.expect("adopted 2 workers of a killed master", "err")
        served.running.expect("replan: done", "err")
        settle(served, pids)
    assert {key: slot["pid"] for key, slot in slots(served).items()} == pids
    assert served.stop() == 0


def test_store_is_sent_what_changes_and_nothing_else(start: Start) -> None:
    served, _ = launched(start, "web/0", "web/1")
    before, came = served.store.names, served.store.came.count("FDSTORE")
    served.signal(signal.SIGHUP)
    served.ready("web/0", "web/1", generation=2)
    served.running.expect("reload: done", "err")
    assert (served.store.names, served.store.came.count("FDSTORE")) == (before, came)
    old, served.port = served.port, free_port()
    served.write(HEAD + SHARDED + SERVE + RUN)
    served.signal(signal.SIGHUP)
    served.ready("web/0", "web/1", "web/2", generation=3)
    until(lambda: refuses(old), "the end of the former listener")
    sockets = [name for name in served.store.names if "socket" in name]
    assert (len(sockets), set(sockets) & set(before)) == (3, set())
    assert served.stop() == 0


def test_what_the_next_master_cannot_use_is_named_and_closed(start: Start) -> None:
    served, _ = launched(start, "web/0", "web/1")
    served.kill_group()
    for number in served.store.of("workers-1") + served.store.of("workers-2"):
        with open(f"/proc/self/fd/{number}", "r+b") as note:
            note.truncate(100)
    shutil.rmtree(start.directory / "runtime")
    before = served.store.names
    served.launch()
    served.running.expect(
        r"service manager: what its store has of a previous master \(memory, pipe, roster, socket, workers-1.*\) "
        "is of no use: the snapshot is truncated: .*; closing it",
        "err",
    )
    served.ready("web/0", "web/1")
    assert served.ask()[0] in ("web/0", "web/1")
    assert not {name for name in before if "socket" in name} & set(served.store.names)
    assert served.stop() == 0


@often
def test_listener_that_is_configured_no_more_is_closed(start: Start) -> None:
    served, _ = launched(start, "web/0", "web/1")
    served.kill_group()
    old, served.port = served.port, free_port()
    served.write()
    served.launch()
    served.running.expect("replan: done", "err")
    assert served.ask()[0] in ("web/0", "web/1")
    until(lambda: refuses(old), "the end of the former listener")
    until(lambda: len(served.store.of("socket")) == 1, "the socket that is configured")
    assert served.stop() == 0


@often
def test_store_that_is_too_small_is_named_and_not_used(start: Start) -> None:
    served = stored(start, "adopted")
    served.most = 3
    served.launch()
    served.ready("web/0", "web/1")
    served.running.expect(r"service manager: \d+ descriptors are to be stored, and .* allows 3; storing none", "err")
    assert served.stop() == 0
    assert served.store.names == []


@often
def test_path_that_was_removed_with_the_service_is_bound_again(start: Start) -> None:
    path = start.directory / "runtime" / "http.sock"
    declared = SHARDED.replace("tcp://127.0.0.1:PORT", f"unix://{path}").replace(', sharing="sharded"', "")
    served, _ = launched(start, "web/0", "web/1", "web/2", source=HEAD + declared + SERVE + RUN)
    killed(served)
    served.ready("web/0", "web/1", "web/2")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert client.recv(1000).startswith(b"web/")
    assert served.stop() == 0
    assert not path.exists()


@often
def test_upgrade_keeps_what_is_held(start: Start) -> None:
    served, _ = launched(start, "web/0", "web/1")
    before, came = served.store.names, served.store.came.count("FDSTORE")
    served.signal(signal.SIGUSR2)
    served.running.expect("upgrade: done", "err")
    assert served.store.names[: len(before)] == before
    assert served.store.came.count("FDSTORE") - came <= 1, "the other one of two notes, if it was not there before"
    pids = [slot["pid"] or 0 for slot in slots(served).values()]
    served.kill_group()
    assert all(gone(pid) for pid in pids)
    served.launch()
    served.running.expect("adopted the sockets and counts", "err")
    served.ready("web/0", "web/1")
    assert served.stop() == 0


@often
def test_workers_have_nothing_of_the_store(start: Start) -> None:
    served, _ = launched(start, "web/0", "web/1")
    killed(served)
    pids = served.ready("web/0", "web/1")
    for pid in pids.values():
        assert b"FDSTORE" not in Path(f"/proc/{pid}/environ").read_bytes()
        held = [os.readlink(f"/proc/{pid}/fd/{each}") for each in os.listdir(f"/proc/{pid}/fd")]
        assert sum(link.startswith("socket:") for link in held) <= 2, held
    assert served.stop() == 0
