"""Telling a service manager: real datagram sockets, full ones and such as have gone, and the beats of the watchdog."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from notified import NotifySocket
from prefork._core.actions import Action, Exit
from prefork._core.events import DeadlinePassed, Event, Started
from prefork._core.view.health import Health
from prefork._launch.inherited import manager
from prefork._master.loop import Master
from prefork._master.service.notify import Manager

READY = Health(2, 2, 1)


class Decider:
    """Stands as it is told to, and goes on to the next act when its time has come."""

    def __init__(self) -> None:
        self.now = Health(0, 2, 0)
        self.acts: list[Callable[[], object]] = []
        self._due: float | None = None

    def health(self) -> Health:
        return self.now

    def handle(self, event: Event, now: float) -> Sequence[Action]:
        if isinstance(event, Started | DeadlinePassed):
            if not self.acts:
                return [Exit(0)]
            pause = self.acts.pop(0)()
            self._due = now + (pause if isinstance(pause, int | float) else 0.0)
        return []

    def next_deadline(self) -> float | None:
        return self._due

    def stand(self, health: Health) -> None:
        self.now = health


class Nothing:
    """Executor with nothing to do."""

    def perform(self, action: Action) -> None: ...
    def reaped(self, exits: Any) -> None: ...
    def children_changed(self) -> None: ...
    def settled(self) -> bool:
        return True


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[NotifySocket]:
    made = NotifySocket(str(tmp_path / "notify"))
    yield made
    made.close()


def run(decider: Decider, variables: dict[str, str]) -> None:
    with Master() as master:
        manager = Manager(master, variables, decider)
        master.run(decider, Nothing(), [manager])
        manager.close()


def decider_for(*healths: Health) -> Decider:
    decider = Decider()
    decider.acts += [partial(decider.stand, health) for health in healths]
    return decider


@pytest.mark.parametrize("abstract", [False, True])
def test_what_there_is_to_say_comes_in_one_message(tmp_path: Path, abstract: bool) -> None:
    notified = NotifySocket(f"@test-of-prefork-{os.getpid()}" if abstract else str(tmp_path / "s"))
    run(decider_for(READY), {"NOTIFY_SOCKET": notified.address})
    assert notified.read(0) == {"READY": "1", "STATUS": "2/2 ready, generation 1"}
    assert notified.read(0) is None
    assert notified.senders == {os.getpid()}
    notified.close()


def test_many_changes_of_the_status_are_one_message(notified: NotifySocket) -> None:
    many = [Health(number, 500, 1) for number in range(499)]
    decider = decider_for(*many)
    decider.acts.append(lambda: 0.3)
    run(decider, {"NOTIFY_SOCKET": notified.address})
    messages = []
    while (message := notified.read(0)) is not None:
        messages.append(message)
    assert messages[-1] == {"STATUS": "498/500 ready, generation 1"}
    assert len(messages) < 100


@pytest.mark.parametrize("end", ["\r", "\n", "\0", "\x0b", "\x85", "\u2028", "\x1b[2K"])
def test_reason_of_an_application_adds_no_order(notified: NotifySocket, end: str) -> None:
    decider = decider_for(Health(0, 2, 1, setback=f"x{end}MAINPID=1{end}WATCHDOG=trigger{end}"))
    decider.acts.append(lambda: 0.3)
    run(decider, {"NOTIFY_SOCKET": notified.address})
    message = notified.read(0)
    assert message is not None
    assert "MAINPID=1" in message.pop("STATUS")
    assert not message.keys() & {"MAINPID", "WATCHDOG"}


def test_without_a_manager_nothing_is_sent(notified: NotifySocket) -> None:
    run(decider_for(READY), {})
    run(decider_for(READY), {"NOTIFY_SOCKET": "vsock:2:1234"})
    assert notified.read(0) is None


def test_a_socket_that_is_not_there_is_said_once(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(decider_for(READY, Health(2, 2, 1, "reload", 2), READY), {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert capfd.readouterr().err.count("sd_notify failed: No such file or directory") == 1


def test_a_manager_that_has_started_again_is_found(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    sockets = [NotifySocket(path)]

    def again() -> None:
        sockets[0].close()
        os.unlink(path)
        sockets.append(NotifySocket(path))

    decider = decider_for(READY)
    decider.acts += [again, lambda: decider.stand(Health(2, 2, 1, "reload", 2))]
    run(decider, {"NOTIFY_SOCKET": path})
    found = sockets[1].read(0)
    assert found is not None
    assert found["RELOADING"] == "1"
    sockets[1].close()


def test_manager_that_does_not_read_delays_nothing(notified: NotifySocket) -> None:
    flood = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    flood.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while flood.sendto(b"X=1", notified.address):
            pass
    heard: list[dict[str, str]] = []

    def read_all() -> float:
        while (message := notified.read(0)) is not None:
            heard.append(message)
        return 0.1

    reload = Health(2, 2, 1, "reload", 2)
    decider = decider_for(READY, reload, READY)
    decider.acts += [read_all, read_all]
    before = monotonic()
    run(decider, {"NOTIFY_SOCKET": notified.address})
    assert monotonic() - before < 5
    said = [next(iter(message)) for message in heard if "X" not in message]
    assert said == ["READY", "RELOADING", "READY"]
    flood.close()


def test_a_queue_that_is_never_read_is_bounded(notified: NotifySocket) -> None:
    notified._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    with Master() as master:
        manager = Manager(master, {"NOTIFY_SOCKET": notified.address}, decider_for(READY))
        for number in range(2000):
            manager._send(["RELOADING=1", f"MONOTONIC_USEC={number}"])
        assert manager._sender is not None
        assert 0 < len(manager._sender._waiting) <= 32
        manager.close()


def test_the_watchdog_is_fed_at_half_its_time(notified: NotifySocket) -> None:
    decider = decider_for(READY)
    decider.acts.append(lambda: 1.0)
    variables = {"NOTIFY_SOCKET": notified.address, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())}
    run(decider, variables)
    beats = 0
    while (message := notified.read(0)) is not None:
        beats += message.get("WATCHDOG") == "1"
    assert 3 <= beats <= 11  # one at once, then ten a second; fewer where the machine is busy


@pytest.mark.parametrize(
    "variables",
    [
        {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_PID": str(os.getpid())},
    ],
)
def test_watchdog_of_another_process_is_not_fed(notified: NotifySocket, variables: dict[str, str]) -> None:
    with Master() as master:
        Manager(master, {"NOTIFY_SOCKET": notified.address, **variables}, decider_for(READY)).close()
        assert master._timers == []  # So that an idle master sleeps for ever.
    assert notified.read(0) is None


def test_what_the_manager_said_is_taken_out_of_the_environment() -> None:
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2", "INVOCATION_ID": "3"}
    assert manager(environ) == {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2"}
    assert environ == {"INVOCATION_ID": "3"}
