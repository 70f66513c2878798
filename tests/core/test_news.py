"""Which records the log tells, and what is reported on which."""

from __future__ import annotations

from prefork._core.actions import Report, Unbind
from prefork._report.news import News, news

ENDED = {"event": "ended", "slot": "web/0", "pid": 7, "generation": 2, "after": 1.5, "status": 3, "reason": "exited 3"}
READY = {"event": "ready", "slot": "web/0", "pid": 8, "generation": 2, "after": 0.1}


def failed(text: str) -> dict[str, object]:
    return {"event": "change", "what": "reload", "stage": "failed", "generation": 2, "left": 0, "text": text}


def test_a_report_stands_with_the_fact_that_it_is_about() -> None:
    report = Report("web/0 (pid 7, generation 2) exited 3\nTraceback")
    assert list(news([ENDED, READY], [report, Unbind(())])) == [News(ENDED, report.text, "bad", True)]


def test_the_report_of_an_outcome_stands_with_the_change() -> None:
    text = "reload of generation 2 failed: web/0 exited 3"
    change = failed(f"{text}\nTraceback")
    assert list(news([ENDED, change], [Report(text)])) == [News(change, text, "bad", True)], (
        "its words were said before"
    )


def test_two_reports_are_two_lines() -> None:
    change = failed("reload failed")
    found = list(news([ENDED, change], [Report("web/0 exited 3"), Report("reload failed")]))
    assert found == [News(ENDED, "web/0 exited 3", "bad", True), News(change, "reload failed", "bad", True)]


def test_a_report_on_nothing_that_is_recorded_is_a_message() -> None:
    assert list(news([], [Report("words")])) == [News({"event": "message"}, "words", "plain", True)]


def test_what_nobody_reports_on_is_told_to_those_who_want_everything() -> None:
    assert list(news([READY], [])) == []
    assert list(news([READY], [], everything=True)) == [News(READY, "web/0 ready after 0.1 s (pid 8)", "faint")]


def test_who_has_asked_for_something_is_always_told() -> None:
    signal = {"event": "signal", "signal": "HUP"}
    command = {"event": "command", "command": "scale", "kind": "web", "size": 3, "by": "root"}
    assert [item.text for item in news([signal, command], [])] == [
        "prefork: signal HUP came",
        "prefork: root asks for: scale web 3",
    ]


def test_what_came_of_a_command_is_told_and_the_rest_of_it_only_in_full() -> None:
    scale = {"event": "change", "what": "scale", "generation": 1, "key": "web", "left": 2, "stage": "rolling"}
    done = {**scale, "left": 0, "stage": "done", "text": "web has 3 workers"}
    stop = {**done, "what": "stop", "text": "stopped"}
    assert [item.text for item in news([scale, done, stop], [])] == ["prefork: web has 3 workers"]
    assert len(list(news([scale, done, stop], [], everything=True))) == 3


def test_commands_and_the_failures_of_changes_are_counted_where_they_come_too_often_and_what_is_done_is_not() -> None:
    command = {"event": "command", "command": "restart", "key": "web/9", "by": "root"}
    change = failed("restart failed")
    done = {**change, "stage": "done", "text": "reload done"}
    found = news([command, change, done, READY], [Report("restart failed"), Report("reload done")], everything=True)
    assert [item.folds for item in found] == [True, True, False, False]
