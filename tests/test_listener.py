"""Listeners as an application declares them: what does not fit is refused by name, before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from prefork import Daemon, Listener, Plan, UsageError
from prefork._core import plan as core
from prefork._mold.daemon_application import DaemonApplication
from prefork._wire.plan_data import MalformedPlan, take_apart


@pytest.mark.parametrize(
    ("address", "options", "why"),
    [
        ("tcp://h:1", {"sharing": "split"}, 'sharing is \'split\': give "shared" or "sharded"'),
        ("tcp://h:1", {"backlog": 0}, "backlog is 0: give a number from 1"),
        ("tcp://h:1", {"backlog": True}, "backlog is True"),
        ("tcp://h:1", {"nodelay": 1}, "nodelay is 1: give True or False"),
        ("tcp://h:1", {"defer_accept": 0.5}, "defer_accept is 0.5: give whole seconds"),
        ("tcp://h:1", {"reuseport": None}, "reuseport is None"),
        ("unix:///s", {"mode": "660"}, "mode is '660': give a number such as 0o660"),
        ("unix:///s", {"mode": 0o7777}, "mode is 4095"),
        ("unix:///s", {"owner": -1}, "owner is -1: give a name or a number"),
        ("tcp://h:1", {"mode": 0o660}, "mode is for unix:///path only"),
        ("unix://@s", {"group": "www"}, "group is for unix:///path only"),
        ("unix:///s", {"sharing": "sharded"}, "only tcp:// and udp:// can be sharded"),
        ("fd://3", {"sharing": "sharded"}, "only tcp:// and udp:// can be sharded"),
        ("tcp://h:1", {"sharing": "sharded", "reuseport": False}, "leave reuseport on"),
        ("tcp://h", {}, "'tcp://h' is no address: it has no port"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(address: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError) as refused:
        Listener(address, **options)
    assert why in str(refused.value)


@pytest.mark.parametrize("given", [{"http": "tcp://h"}, {"http": 8000}])
def test_a_daemon_names_the_listener_that_it_refuses(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="listener 'http': "):
        Daemon("test", listeners=given)


def test_options_travel_from_the_application_to_the_master() -> None:
    daemon = Daemon("test", listeners={"a": "tcp://127.0.0.1:1", "b": Listener("tcp://127.0.0.1:2", sharing="sharded")})
    local = Listener("unix:///s", mode=0o660, owner=0, group="www", backlog=7, nodelay=False, reuseport=False)
    daemon.plan(lambda: Plan([], listeners={"a": Listener("tcp://127.0.0.1:3", defer_accept=2), "c": local}))
    received = take_apart(DaemonApplication(daemon).plan()).plan.listeners
    assert received == (
        core.Listener("a", "tcp://127.0.0.1:3", defer_accept=2),
        core.Listener("b", "tcp://127.0.0.1:2", "sharded"),
        core.Listener(
            "c", "unix:///s", backlog=7, nodelay=False, reuseport=False, mode=0o660, owner="0", group="www"
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    "part", [{"sharing": "x"}, {"backlog": 0}, {"mode": -1}, {"mode": "7"}, {"owner": None}, {"nodelay": 1}]
)
def test_a_listener_that_no_honest_mold_sends_is_no_plan(part: dict[str, Any]) -> None:
    daemon = Daemon("test", listeners={"a": "tcp://127.0.0.1:1"})
    daemon.plan(list)
    data: Any = DaemonApplication(daemon).plan()
    data["listeners"]["a"].update(part)
    with pytest.raises(MalformedPlan):
        take_apart(data)


def test_two_listeners_cannot_have_one_address() -> None:
    daemon = Daemon("test", listeners={"a": "tcp://127.0.0.1:1", "b": Listener("tcp://127.0.0.1:1", backlog=1)})
    daemon.plan(list)
    with pytest.raises(UsageError, match=r"listeners 'a' and 'b' have the same address, tcp://127\.0\.0\.1:1"):
        DaemonApplication(daemon).plan()
    free = Daemon("test", listeners={"a": "tcp://127.0.0.1:0", "b": "tcp://127.0.0.1:0"})
    free.plan(list)
    DaemonApplication(free).plan()
