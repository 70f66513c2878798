"""The dashboard's page, its stream and its answers, without a browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from prefork._agent.dashboard.hub import MOST_WAITING, MOST_WATCHERS, Watcher
from support import Start, switches, until, until_still
from system.dashboards import Dashboard

PID = 1
"""Place of the pid in the row of a slot."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """One daemon for all tests of this module."""
    start = Start(tmp_path_factory.mktemp("dashboard"))
    try:
        run = Dashboard(start)
        run.ready()
        yield run
        assert run.stop() == 0
    finally:
        start.close()


def test_page_and_all_its_files_are_served(shown: Dashboard) -> None:
    status, page, headers = shown.ask("/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert headers["content-security-policy"].startswith("default-src 'self'; ")
    files = set(re.findall(r'(?:src|href)="(/[^"]+)"', page))
    assert {"/assets/app.js", "/assets/style.css"} < files
    for path in files:
        status, body, headers = shown.ask(path)
        assert (status, headers["x-content-type-options"]) == (200, "nosniff"), path
        assert shown.ask(path, **{"if-none-match": headers["etag"]})[:2] == (304, ""), path
        if path.endswith(".js"):
            assert {f"/assets/{name}" for name in re.findall(r'from "./([^"]+)"', body)} < files, path


def test_stream_begins_with_the_whole_state(shown: Dashboard) -> None:
    with shown.stream() as stream:
        message = stream.until(lambda _message: True)
        assert message["whole"]
        assert stream.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.slots.keys() == {"web/0", "web/1", "agent/0"}
        assert stream.sections["verdict"]["headline"] == "All 2 workers are ready"
        stream.until(lambda message: message.get("points"))


@pytest.mark.alone
def test_stream_shows_a_kill_within_a_second(shown: Dashboard) -> None:
    with shown.stream() as stream:
        stream.until(lambda message: message.get("points"))
        pid = stream.slots["web/1"][PID]
        os.kill(pid, signal.SIGKILL)
        killed = monotonic()
        stream.until(lambda _message: any(each["event"] == "ended" for each in stream.events[-5:]))
        stream.until(lambda _message: stream.slots["web/1"][PID] != pid)
        assert monotonic() - killed < 1
        assert stream.sections["verdict"]["level"] == "well"
    events = json.loads(shown.ask("/slots/web/1")[1])["events"]
    ended = next(each for each in events if each["event"] == "ended")
    assert ended["text"].startswith("killed by SIGKILL")
    assert shown.ask(f"/reports/{ended['number']}")[1].startswith("CPU time: ")


def test_stream_says_that_the_master_is_stopped(shown: Dashboard) -> None:
    with shown.stream() as stream:
        stream.until(lambda message: message.get("points"))
        shown.running.send(signal.SIGSTOP)
        try:
            with shown.stream() as second:  # A second client takes nothing away from the first.
                assert second.next() is not None
                stream.until(lambda _message: stream.sections["trouble"] == "the master is stopped by a signal")
        finally:
            shown.running.send(signal.SIGCONT)
        stream.until(lambda _message: not stream.sections["trouble"])


def test_stream_sends_little_while_nothing_happens(shown: Dashboard) -> None:
    with shown.stream() as stream:
        for _ in range(3):
            stream.until(lambda message: message.get("points"))
        message = stream.until(lambda message: message.get("points"))
        assert len(str(message)) < 500
        assert "slots" not in message


def test_stream_of_too_many_pages_is_refused(shown: Dashboard) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(shown.stream()) for _ in range(MOST_WATCHERS)]
        for stream in streams:
            assert stream.next() is not None
        status, _, headers = shown.ask("/stream")
        assert (status, headers["retry-after"]) == (503, "10")
    until(lambda: shown.ask("/stream", "HEAD")[0] == 200, "an answer")


def test_page_is_refused_under_a_foreign_name(shown: Dashboard) -> None:
    for path in "/", "/stream", "/assets/app.js", "/slots/web/0":
        assert shown.ask(path, host="evil.example")[0] == 421, path
    assert shown.ask("/", host=f"localhost:{shown.agent_port}")[0] == 200


def test_report_that_is_not_kept_is_404(shown: Dashboard) -> None:
    assert shown.ask("/reports/1")[0] == 404
    assert shown.ask("/slots/web/77")[1] == '{"events":[]}'


def test_commands_do_not_exist_without_the_option(shown: Dashboard) -> None:
    assert shown.ask("/steer/reload", "POST")[0] == 404


def test_no_page_watches_agent_does_not_wake_up(shown: Dashboard) -> None:
    with shown.stream() as stream:
        stream.until(lambda message: message.get("points"))
    agent = shown.slot("agent/0")["pid"]

    def slept() -> int:
        return sum(switches(int(task.name), "voluntary") for task in Path(f"/proc/{agent}/task").iterdir())

    until_still(slept, 3)


def test_stream_ends_when_the_agent_is_replaced(start: Start) -> None:
    run = Dashboard(start)
    run.ready()
    with run.stream() as stream:
        stream.until(lambda message: message.get("points"))
        before = run.slot("agent/0")["pid"]
        run.running.send(signal.SIGHUP)
        while stream.next() is not None:
            pass
    with run.stream() as stream:
        stream.until(lambda _message: stream.slots["agent/0"][PID] != before and stream.events)
        assert stream.sections["generation"] == 2
    assert run.stop() == 0


def test_watcher_that_does_not_read_is_cut_off() -> None:
    async def fill() -> None:
        watcher = Watcher()
        for _ in range(MOST_WAITING):
            watcher.put(b"")
        assert not watcher.lost.is_set()
        watcher.put(b"")
        assert watcher.lost.is_set()

    asyncio.run(fill())
