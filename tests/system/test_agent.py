"""The agent: what it serves, and that whatever happens to it changes nothing for the service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import Start
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
