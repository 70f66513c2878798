"""What a test does to its server: load, metrics, checks for growth; and the checks of a target."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefork import UsageError
from prefork.testing import Server, StartFailedError, assert_fork_safe, assert_no_growth, live_server, plan_of
from support import PATIENCE
from testing import applications, leaking


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with live_server(applications.asgi, workers=2) as server:
        yield server


def test_reload_under_load_fails_no_request(server: Server) -> None:
    with server.load(rate=200) as load:
        server.reload()
    assert load.failed == 0, load
    assert load.sent == load.statuses[200] > 8
    assert 0 < load.latency(0.5) <= load.latency(0.99)


def test_load_counts_errors_and_lost_connections(server: Server) -> None:
    with server.load(rate=100, path="/error") as load:
        pass
    assert load.failed == load.sent == load.statuses[500] >= 8
    assert "status 500" in load.failures[0]
    with server.load(rate=2, path="/exit") as load:
        pass
    assert repr(load).startswith("<Load sent=1 failed=1 statuses={}: request 0 at 0.")
    server.wait_for("2/2 ready")


def test_load_asks_what_is_no_http() -> None:
    with live_server(applications.daemon, listeners={"web": "unix", "admin": "unix"}) as server:

        def ask() -> None:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(server.path())
                assert client.recv(100).startswith(b"talk/")

        with server.load(rate=50, ask=ask) as load:
            server.restart("talk/0")
    assert load.failed == 0, load


def test_impossible_load_is_refused(server: Server) -> None:
    with pytest.raises(UsageError, match="path: 'shop' does not begin with a slash"):
        server.load(path="shop")
    with pytest.raises(UsageError, match="rate: 0 is not a number"):
        server.load(rate=0)


def test_metrics_are_those_of_the_agent(server: Server) -> None:
    with server.load(rate=100) as load:
        pass
    metrics = server.metrics()
    requests = sum(value for name, value in metrics.items() if name.startswith("prefork_requests_total{"))
    assert requests >= load.sent
    assert all(name.startswith("prefork_") for name in metrics)


def test_growth_of_nothing_passes(server: Server) -> None:
    assert_no_growth(server, requests=400)


@pytest.mark.parametrize(
    ("path", "text"), [("/memory", "bytes of private memory have grown"), ("/files", "open descriptors have grown")]
)
def test_growth_is_named(path: str, text: str) -> None:
    with (
        live_server(leaking.wsgi, workers=1, threads=1) as server,
        pytest.raises(AssertionError, match=rf"web/0: {text} in each round: \d+ -> "),
    ):
        assert_no_growth(server, requests=1000, path=path)


def test_thread_of_an_import_is_not_fork_safe() -> None:
    with pytest.raises(AssertionError, match=r"(?s)miss what its import has started:.*thread 'poller', started at"):
        assert_fork_safe(leaking.wsgi)
    assert_fork_safe(leaking.wsgi, preload=False)
    assert_fork_safe(applications.asgi)


def test_plan_is_data() -> None:
    plan = plan_of(applications.asgi, workers=3, drain_timeout=7)
    assert plan["slots"] == ["web/0", "web/1", "web/2"]
    assert [(pool["pool"], pool["size"]) for pool in plan["pools"]] == [("web", 3)]
    assert kind_of(plan)["drain_timeout"] == 7
    assert set(plan) == {"listeners", "kinds", "pools", "slots"}


def kind_of(plan: dict[str, Any]) -> dict[str, Any]:
    (kind,) = plan["kinds"]
    assert isinstance(kind, dict)
    return kind


def test_plan_of_broken_code_is_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(StartFailedError, match=r"(?s)has no plan:\nTraceback.*ZeroDivisionError"):
        plan_of(f"{tmp_path}/broken.py")
    with pytest.raises(UsageError, match=r"plan_of\(\): there is no option worker: did you mean workers"):
        plan_of("shop:app", worker=3)  # type: ignore[call-arg]
