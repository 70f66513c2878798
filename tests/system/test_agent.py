"""The agent: what it serves, and that whatever happens to it changes nothing for the service."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

import prefork
from prefork._agent.families.listed import SUBJECTS
from support import PATIENCE, PROOF, Start, until
from system.agents import Watched


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One daemon for all tests that only ask."""
    start = Start(tmp_path_factory.mktemp("watched"))
    try:
        run = Watched(start)
        run.ready()
        yield run
        assert run.stop() == 0
    finally:
        start.close()


def test_healthz_master_answers_is_200(watched: Watched) -> None:
    assert watched.ask("/healthz")[:2] == (200, "the master answers\n")


def test_readyz_daemon_is_ready_is_200(watched: Watched) -> None:
    assert watched.ask("/readyz")[:2] == (200, "2 slots served\n")


def test_status_names_agent_as_auxiliary_slot(watched: Watched) -> None:
    slots = {slot["key"]: slot["auxiliary"] for slot in watched.status()["slots"]}
    assert slots == {"web/0": False, "web/1": False, "agent/0": True}


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel does not schedule by session")
@pytest.mark.skipif(os.geteuid() != 0, reason="without a right the kernel sets ten a second, of all users")
def test_agent_yields_to_workers_as_a_session_too(watched: Watched) -> None:
    agent = watched.agent()
    assert os.getpriority(os.PRIO_PROCESS, agent) == 10
    assert Path(f"/proc/{agent}/autogroup").read_text().endswith(" nice 10\n")


def test_requests_of_agent_are_in_no_total(watched: Watched) -> None:
    with prefork.open_scoreboard(watched.client) as board:
        before = board.read()
        for _ in range(5):
            watched.status()
        after = board.read()
    assert (after.requests, after.measures.responses) == (before.requests, before.measures.responses)
    assert next(each for each in after.processes if each.slot == "agent/0").requests == 0


def test_head_is_answered_without_body(watched: Watched) -> None:
    for path in "/healthz", "/readyz", "/status.json", "/metrics":
        status, body, headers = watched.ask(path, "HEAD")
        assert (status, body) == (200, ""), path
        assert "content-length" in headers, path


def test_other_path_or_method_is_refused_as_text(watched: Watched) -> None:
    for path, method, status in ("/nothing", "GET", 404), ("/readyz", "POST", 405):
        code, body, headers = watched.ask(path, method)
        assert (code, headers["content-type"]) == (status, "text/plain; charset=utf-8"), body


@pytest.mark.parametrize(
    ("accepted", "served"),
    [
        ("", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
    ],
)
def test_metrics_come_in_the_accepted_format(watched: Watched, accepted: str, served: str) -> None:
    status, _, headers = watched.ask("/metrics", accept=accepted)
    assert status == 200
    assert headers["content-type"].startswith(served)


def test_metrics_have_every_family_of_the_daemon(watched: Watched) -> None:
    """But for those that a running daemon without failures and limits lacks."""

    def metrics() -> dict[str, Metric]:
        _, body, _ = watched.ask("/metrics", accept="application/openmetrics-text; version=1.0.0")
        return {family.name: family for family in parse_openmetrics(body)}  # type: ignore[no-untyped-call]

    def served() -> bool:
        return sum(sample.value for sample in metrics()["prefork_worker_requests"].samples) >= 1

    watched.get()
    until(served, "the request is counted in a reading that is new")
    found = metrics()
    known = {family.name for _, families in SUBJECTS for family in families}
    rare = {"prefork_worker_retry_timestamp_seconds", "prefork_cpu_throttled_seconds"}
    rare |= {"prefork_memory_used_bytes", "prefork_memory_limit_bytes"}  # Where there are control groups.
    assert known - rare <= set(found)
    serving = {sample.labels["pool"]: sample.value for sample in found["prefork_workers_serving"].samples}
    assert serving == {"web": 2}
    memory = found["prefork_worker_private_memory_bytes"].samples
    assert [sample.labels["slot"] for sample in memory] == ["web/0", "web/1"]
    assert all(sample.value > 1 << 20 for sample in memory)


def test_agent_killed_is_back_and_workers_stay(watched: Watched) -> None:
    old, workers = watched.agent(), watched.workers()
    os.kill(old, signal.SIGKILL)
    watched.agent(other_than=old)
    assert watched.ask("/readyz")[0] == 200
    assert watched.workers() == workers


def test_reload_replaces_agent_and_refuses_no_connection(watched: Watched) -> None:
    old, answers, over = watched.agent(), [], threading.Event()

    def ask() -> None:
        while not over.is_set():
            answers.append(watched.ask("/healthz")[0])

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert "done" in watched.client.reload()
        watched.agent(other_than=old)
    finally:
        over.set()
        asking.join()
    assert set(answers) == {200}


def test_reload_beside_stopped_agent_is_done(watched: Watched) -> None:
    old = watched.agent()
    os.kill(old, signal.SIGSTOP)
    assert "done" in watched.client.reload()
    watched.agent(other_than=old)


def test_restart_and_stacks_act_on_agent(watched: Watched) -> None:
    old, workers = watched.agent(), watched.workers()
    assert "done" in watched.client.restart("agent/0")
    assert watched.agent(other_than=old)
    assert [each["slot"] for each in watched.client.stacks("agent/0")] == ["agent/0"]
    assert watched.workers() == workers


def test_scale_without_name_leaves_agent(watched: Watched) -> None:
    old = watched.agent()
    watched.client.scale(None, 3)
    watched.client.scale(None, 2)
    assert watched.agent() == old


def test_master_stopped_is_503_and_then_200(watched: Watched) -> None:
    """The agent's answer comes when its patience with the master is over."""
    os.kill(watched.running.pid, signal.SIGSTOP)
    try:
        code, body, _ = watched.ask("/readyz")
        assert (code, "did not answer within" in body) == (503, True), body
    finally:
        os.kill(watched.running.pid, signal.SIGCONT)
    until(lambda: watched.ask("/readyz")[0] == 200, "the master answers again")


def test_half_a_header_does_not_keep_a_place(watched: Watched) -> None:
    """Many such clients, and each is closed after ten seconds; others are answered meanwhile."""
    with contextlib.ExitStack() as stack:
        clients = [socket.create_connection(("127.0.0.1", watched.agent_port)) for _ in range(100)]
        for client in clients:
            stack.callback(client.close)
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a")
        assert watched.ask("/healthz")[0] == 200
        if PROOF:
            clients[0].settimeout(PATIENCE)
            with contextlib.suppress(ConnectionResetError):
                assert clients[0].recv(1) == b""
