"""Which records the log tells, and what is reported on which."""

from __future__ import annotations

from typing import Any

from prefork._core.actions import Announce, Report
from prefork._core.events import WorkerEnded
from prefork._report.journal import Journal, Notes
from prefork._report.news import News, reported, usual

ENDED = {"event": "ended", "slot": "web/0", "pid": 7, "generation": 2, "after": 1.5, "status": 3, "reason": "exited 3"}
READY = {"event": "ready", "slot": "web/0", "pid": 8, "generation": 2, "after": 0.1}
CHANGE: dict[str, Any] = {"event": "change", "what": "reload", "generation": 2, "left": 0}


def texts(*records: dict[str, Any], everything: bool = False) -> list[str]:
    return [item.text for record in records if (item := usual(record, everything)) is not None]


def test_report_about_fact_stands_with_its_record() -> None:
    notes = Notes([ENDED, READY], ENDED)
    assert notes.subject(Report("web/0 exited 3", "fact")) is ENDED
    assert reported(ENDED, "web/0 exited 3\nTraceback") == News(ENDED, "web/0 exited 3\nTraceback", "bad")


def test_report_about_change_stands_with_its_record() -> None:
    failed = Announce("reload", "failed", 2, text="reload failed\nTraceback")
    notes = Journal().note(WorkerEnded(7, 3, "exited 3"), [Report("reload failed", failed), failed], 1.0, 2.0)
    record = notes.subject(Report("reload failed", failed))
    assert record is not None
    assert record["text"] == "reload failed\nTraceback"
    assert reported(record, "reload failed").tone == "bad", "its words were logged before"


def test_report_about_nothing_that_is_recorded_is_a_message() -> None:
    assert Notes([READY]).subject(Report("words")) is None
    assert Notes().subject(Report("words", "fact")) is None
    assert reported(None, "words") == News({"event": "message"}, "words", "plain")


def test_record_without_report_is_logged_with_everything() -> None:
    assert usual(READY) is None
    assert usual(READY, everything=True) == News(READY, "web/0: ready after 0.1 s (pid 8)", "faint")


def test_command_and_signal_are_always_logged() -> None:
    signal = {"event": "signal", "signal": "HUP"}
    command = {"event": "command", "command": "scale", "pool": "web", "size": 3, "by": "root"}
    assert texts(signal, command) == ["prefork: signal HUP received", "prefork: scale web 3 requested by root"]
    command |= {"pool": None, "size": None}
    assert texts(command) == ["prefork: scale auto requested by root"]
    assert texts(command | {"size": 4}) == ["prefork: scale 4 requested by root"]


def test_command_outcome_is_logged_and_steps_only_in_full() -> None:
    scale = {**CHANGE, "what": "scale", "pool": "web", "left": 2, "stage": "rolling"}
    done = {**scale, "left": 0, "stage": "done", "text": "web has 3 workers"}
    stop = {**done, "what": "stop", "text": "stopped"}
    assert texts(scale, done, stop) == ["prefork: web has 3 workers"]
    assert len(texts(scale, done, stop, everything=True)) == 3


def test_what_may_repeat_folds_and_what_is_done_does_not() -> None:
    command = {"event": "command", "command": "restart", "slot": "web/9", "by": "root"}
    failed = {**CHANGE, "stage": "failed", "text": "restart failed"}
    assert [item.folds for item in (usual(command), reported(failed, "failed")) if item] == [True, True]
    done = {**CHANGE, "stage": "done", "text": "reload done"}
    assert [item.folds for item in (reported(done, "done"), usual(READY, everything=True)) if item] == [False, False]
