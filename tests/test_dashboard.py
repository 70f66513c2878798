"""What the dashboard makes of events, readings and a status, and which requests it serves."""

from __future__ import annotations

from typing import Any

import pytest

from prefork._agent.dashboard import rows
from prefork._agent.dashboard.figures import Figures
from prefork._agent.dashboard.guard import may_ask, same_origin
from prefork._agent.dashboard.history import INCIDENTS, History
from prefork._agent.dashboard.service import Service, service
from prefork._agent.dashboard.verdict import verdict
from prefork._agent.source import Usage
from prefork.scoreboard import Counts, Histogram, Measures, Process, Reading

NOW = 1000.0


def slot(key: str, **more: Any) -> dict[str, Any]:
    usual = {"state": "ready", "pid": 10 + int(key[-1]), "generation": 1, "since": 900.0, "serving": True}
    rest = {
        "auxiliary": False,
        "exchanging": False,
        "leaving": [],
        "restarts": 0,
        "failures": 0,
        "last_exit": "",
        "retry_at": None,
    }
    return {"key": key, "kind": "web", "why": "daemon start", **usual, **rest, **more}


def status(*slots: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"generation": 1, "stopping": False, "change": None, "molds": [], "slots": slots, **more}


def ended(number: int, pid: int, **more: Any) -> dict[str, Any]:
    usual = {"status": -11, "reason": "killed by SIGSEGV", "after": 3.0, "worked": True, "doing": "GET /crash"}
    return {
        "number": number, "time": NOW, "event": "ended", "slot": "web/0", "pid": pid, "generation": 1, **usual, **more
    }  # fmt: skip


def hung(number: int, pid: int) -> dict[str, Any]:
    facts = {"verdict": "deadlock", "doing": "GET /lock", "seconds": 30.0, "excused": 0.0, "after": 31.0}
    return {
        "number": number, "time": NOW, "event": "hung", "slot": "web/1", "pid": pid, "generation": 1, **facts,
        "report": "web/1: hung\n  File app.py",
    }  # fmt: skip


def history(*records: dict[str, Any]) -> History:
    made = History()
    for record in records:
        made.add(record)
    return made


def judged(*slots: dict[str, Any], told: History | None = None, **more: Any) -> dict[str, Any]:
    return verdict(status(*slots, **more), told or History(), Figures(), NOW)


def reading(at: float, requests: int, errors: int = 0, *processes: Process, slow: int = 0) -> Service:
    latency = Histogram((0.01, 0.1, 1.0), (requests - slow, 0, slow, 0), 0.0)
    measures = Measures(responses=(0, 0, requests - errors, 0, 0, errors), latency=latency)
    return service(Reading(at, requests, errors, processes, {}, measures, {1: measures}), ())


def process(pid: int, requests: int) -> Process:
    return Process("web/0", pid, 1, "ready", 900.0, requests, 0, 3, 1, 0.0, 4.0, "GET /slow")


def test_verdict_all_ready_is_well() -> None:
    found = judged(slot("web/0"), slot("web/1"))
    assert (found["level"], found["headline"], found["reasons"]) == ("well", "All 2 workers are ready", [])


def test_verdict_lacking_worker_is_named_with_its_exit() -> None:
    lacking = slot("web/1", state="waiting", pid=None, since=990.0, serving=False, failures=3, last_exit="exited 3")
    found = judged(slot("web/0"), lacking)
    assert (found["level"], found["headline"]) == ("bad", "1 of 2 workers ready, 1 problem")
    (reason,) = found["reasons"]
    assert (reason["slot"], reason["since"]) == ("web/1", 990.0)
    assert reason["text"] == "waits for its next start after 3 failures in a row; last one exited 3"


def test_verdict_auxiliary_worker_is_no_problem() -> None:
    agent = slot("agent/0", state="waiting", pid=None, serving=False, failures=1, auxiliary=True)
    assert judged(slot("web/0"), agent)["level"] == "well"


def test_verdict_exchanged_worker_is_no_problem() -> None:
    change = {"what": "reload", "stage": "rolling", "to": 2, "left": 1}
    found = judged(slot("web/0", serving=True, state="starting", exchanging=True), change=change)
    assert (found["level"], found["headline"]) == ("busy", "The worker is ready, reload under way")


def test_verdict_hang_is_worst_and_has_its_report() -> None:
    told = history(hung(7, 11), *(ended(number, number) for number in (21, 22, 23)))
    found = judged(slot("web/0"), slot("web/1"), told=told)
    first, second = found["reasons"]
    assert (first["slot"], first["text"], first["since"]) == ("web/1", "hangs: deadlock, GET /lock", NOW - 30)
    assert told.reports[first["incident"]] == "web/1: hung\n  File app.py"
    assert second["text"] == "3 workers crashed in the last minute; GET /crash: 3 of 3 crashes"


def test_verdict_failed_reload_until_the_next_one() -> None:
    failed = {"time": NOW, "event": "change", "what": "reload", "stage": "failed", "generation": 2, "left": 0}
    text = "reload: failed: SyntaxError (generation 1 stays)"
    report = {"event": "plan_failed", "number": 1, "time": NOW, "generation": 2, "report": "SyntaxError"}
    told = history(report, {**failed, "number": 2, "text": f"{text}\nTraceback"})
    (reason,) = judged(slot("web/0"), told=told)["reasons"]
    assert (reason["text"], told.reports[reason["incident"]]) == (text, "SyntaxError")
    told.add({**failed, "number": 3, "stage": "done", "text": "reload: done"})
    assert judged(slot("web/0"), told=told)["level"] == "well"


def test_verdict_share_of_failed_requests_is_named() -> None:
    figures = Figures()
    figures.add(reading(0.0, 100), {}, NOW)
    figures.add(reading(5.0, 200, 10), {}, NOW + 5)
    found = verdict(status(slot("web/0")), History(), figures, NOW)
    assert found["reasons"][0]["text"] == "at least 10% of the requests of the last ten seconds failed"


def test_history_hang_that_is_killed_is_one_incident() -> None:
    told = history(hung(7, 11), ended(8, 11, status=-9, reason="killed by the master: hung for 30.0 s: deadlock"))
    assert [incident["event"] for incident in told.incidents] == ["hung"]
    assert told.troubles() == {}


def test_history_crash_has_the_traceback_it_failed_with() -> None:
    failed = {"number": 1, "time": NOW, "event": "failed", "slot": "web/0", "pid": 5, "generation": 1, "after": 1.0}
    told = history({**failed, "report": "ValueError: 1"}, ended(2, 5, status=1, reason="exited 1"))
    assert told.reports == {2: "ValueError: 1"}
    assert told.events[-1]["report"]
    assert [event["number"] for event in told.about("web/0")] == [1, 2]


def test_history_crash_has_a_report_where_files_are_readable() -> None:
    told = History(has_files=True)
    told.add(ended(1, 5))
    found = told.incident(1)
    assert found is not None
    assert (found["report"], found["pid"], told.incident(2)) == (True, 5, None)
    assert not told.reports


def test_history_orderly_end_is_no_incident() -> None:
    assert not history(ended(1, 5, status=0, reason="exited 0")).incidents


def test_history_keeps_the_last_incidents_and_reports() -> None:
    told = history(*(hung(number, number) for number in range(1, INCIDENTS + 6)))
    assert len(told.incidents) == len(told.reports) == INCIDENTS
    assert {incident["number"] for incident in told.incidents} == set(told.reports)


def test_figures_rates_and_quantiles_of_two_readings() -> None:
    figures = Figures()
    figures.add(reading(0.0, 100, 0, process(5, 10)), {}, NOW)
    used = {5: Usage(None, 1000, 2000)}
    point = figures.add(reading(2.0, 300, 20, process(5, 30), slow=20), used, NOW + 2)
    assert point[:3] == [NOW + 2, 100.0, 10.0]
    assert point[3] < 0.01 < 0.1 < point[4] <= 1.0
    assert figures.live["5"][0] == 10.0
    assert figures.live["5"][2:6] == [1, 3, NOW - 2, "GET /slow"]
    assert figures.generations()["1"][:2] == [200, 0.1]


def test_figures_leave_out_what_is_no_part_of_the_service() -> None:
    agent = Process(
        "agent/0", 9, 1, "ready", 900.0, 40, 30, 7, 1, 0.0, 4.0, "GET /stream", Measures((0, 0, 40, 0, 0, 0))
    )
    measures = Measures((0, 0, 140, 0, 0, 0))
    whole = Reading(0.0, 140, 30, (agent, process(5, 100)), {"agent/0": Counts(40, 30)}, measures, {1: measures})
    found = service(whole, {"agent/0"})
    assert (found.requests, found.errors, list(found.workers), found.others) == (100, 0, [5], frozenset({9}))
    assert found.measures.responses == found.generations[1].responses == (0, 0, 100, 0, 0, 0)
    point = Figures().add(found, {9: Usage(1.0, 100, 100), 5: Usage(1.0, 10, 20)}, NOW)
    assert point[-5:] == [1, 3, None, 10, 20]


def test_figures_window_is_ten_seconds_of_few_readings() -> None:
    figures = Figures()
    for second in range(60):
        figures.add(reading(float(second), 10 * second, second), {}, NOW + second)
        assert second < 10 or figures.errors() in [(80, 8), (90, 9), (100, 10)]
        assert len(figures._readings) <= 6


def test_figures_another_scoreboard_begins_again() -> None:
    figures = Figures()
    figures.add(reading(0.0, 1000), {}, NOW)
    point = figures.add(reading(1.0, 5), {}, NOW + 1)
    assert point[1] is None
    assert len(figures.points) == 2


def test_rows_only_changes_are_sent() -> None:
    before = rows.of_slots(status(slot("web/0"), slot("web/1"), slot("web/2")), {})
    now = rows.of_slots(status(slot("web/0"), slot("web/1")), {11: "hung"})
    changes = rows.changed(before, now)
    assert changes.keys() == {"web/1", "web/2"}
    assert changes["web/1"] is not None
    assert changes["web/1"][0] == "hung"
    assert changes["web/2"] is None
    assert rows.changed(now, now) == {}


@pytest.mark.parametrize(
    ("server", "host", "served"),
    [
        ("127.0.0.1", "localhost:9464", True),
        ("127.0.0.1", "127.0.0.1:9464", True),
        ("127.0.0.1", "127.1.2.3", True),
        ("::1", "[::1]:9464", True),
        ("127.0.0.1", "shop.localhost", True),
        ("127.0.0.1", "evil.example:9464", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "10.0.0.1", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[", False),
        ("10.0.0.1", "shop.example", True),
    ],
)
def test_guard_loopback_is_served_by_its_own_names(server: str, host: str, served: bool) -> None:
    assert may_ask((server, 9464), host) is served


def test_guard_unix_socket_is_served_by_any_name() -> None:
    assert may_ask(("/run/shop.sock", None), "shop.example")
    assert may_ask(None, "shop.example")


def test_guard_commands_come_from_this_origin_or_no_page() -> None:
    assert same_origin(None, "localhost:9464")
    assert same_origin("http://localhost:9464", "localhost:9464")
    assert not same_origin("http://localhost:8000", "localhost:9464")
    assert not same_origin("https://evil.example", "localhost:9464")
    assert not same_origin("null", "localhost:9464")
    assert not same_origin("null", "")
