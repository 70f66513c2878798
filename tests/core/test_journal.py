"""The journal: what it makes of facts and orders, and how much of it is remembered."""

from __future__ import annotations

import json
from typing import Any

from core.stage import Stage, plan
from prefork._core import actions as act
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.watch.verdicts import Hang
from prefork._master.kept import clients
from prefork._master.kept.clients import made_journal
from prefork._master.kept.records import KeptJournal
from prefork._records.plain import made, plain
from prefork._report.journal import ALL, EACH, Journal, Record
from prefork._report.sentences import sentence


class Noted(Stage):
    """A stage whose every turn is noted, too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.journal = Journal()
        self.noted: list[Record] = []

    def feed(self, event: ev.Event) -> Any:
        self.now += 0.5
        actions = super().feed(event)
        self.noted += self.journal.note(event, actions, self.now, 1_700_000_000 + self.now).records
        return actions

    def told(self, *names: str, since: int = 0) -> list[tuple[Any, ...]]:
        return [tuple(record.get(name) for name in names) for record in self.noted if record["number"] > since]

    def command(self, command: cmd.Command) -> Any:
        self.asked += 1
        return self.feed(ev.CommandReceived(self.asked, command, "uid 7 (pid 99)"))


def about(stage: Noted, key: str) -> list[tuple[Any, ...]]:
    return [(record["event"], record.get("why") or record.get("reason")) for record in stage.journal.about(key)]


def test_the_life_of_a_slot_is_told_with_its_reasons() -> None:
    stage = Noted(plan("a"), plan("b")).start()
    stage.crash("web/0", "Traceback\nValueError: no")
    stage.rest()
    stage.command(cmd.Restart("web/0"))
    stage.rest()
    stage.command(cmd.Scale("web", 1))
    stage.command(cmd.Reload())
    stage.rest()
    by = "requested by uid 7 (pid 99)"
    assert about(stage, "web/0") == [
        ("ordered", "daemon start"),
        ("ready", None),
        ("failed", None),
        ("ended", "exited 3"),
        ("ordered", "previous worker exited 3"),
        ("ready", None),
        ("ordered", f"restart web/0 {by}"),
        ("ready", None),
        ("draining", f"restart web/0 {by}"),
        ("ended", "exited"),
        ("ordered", f"reload {by}"),
        ("ready", None),
        ("draining", f"reload {by}"),
        ("ended", "exited"),
    ]
    assert about(stage, "web/1")[-2:] == [("draining", f"scale web 1 {by}"), ("ended", "exited")]
    failed = stage.journal.about("web/0")[2]
    assert failed["report"].endswith("ValueError: no")


def test_a_record_says_when_who_and_how_long() -> None:
    stage = Noted(plan("a", solo=False)).start()
    ready = next(record for record in stage.noted if record["event"] == "ready")
    pid = stage.pid(ready["slot"])
    assert ready == {
        "number": ready["number"],
        "time": ready["time"],
        "event": "ready",
        "slot": "web/0",
        "pid": pid,
        "generation": 1,
        "after": ready["after"],
    }
    assert ready["time"] > 1_700_000_000
    assert ready["after"] > 0
    assert [number for (number,) in stage.told("number")] == list(range(1, len(stage.noted) + 1))


def test_a_change_is_told_slot_by_slot_to_its_end() -> None:
    stage = Noted(plan("a"), plan("b")).start()
    since = stage.journal.number
    stage.command(cmd.Reload())
    stage.rest()
    changes = [told[1:] for told in stage.told("event", "what", "stage", "left", since=since) if told[0] == "change"]
    assert changes == [
        ("reload", "planning", 0),
        ("reload", "rolling", 3),
        ("reload", "settled", 2),
        ("reload", "settled", 1),
        ("reload", "settled", 0),
        ("reload", "done", 0),
    ]
    assert ("command", "reload", "uid 7 (pid 99)") in stage.told("event", "command", "by", since=since)
    assert "settled" not in [json.loads(line).get("stage") for line in stage.journal.recent]


def test_scaling_and_stopping_are_told_to_their_end_too() -> None:
    stage = Noted(plan("a")).start()
    since = stage.journal.number
    stage.command(cmd.Scale("web", 4))
    stage.rest()
    stage.command(cmd.Stop())
    stage.rest()
    changes = [
        (told[1], told[2], told[3] or told[4])
        for told in stage.told("event", "what", "stage", "slot", "pool", since=since)
        if told[0] == "change"
    ]
    assert changes[:4] == [
        ("scale", "rolling", "web"),
        ("scale", "settled", "web/2"),
        ("scale", "settled", "web/3"),
        ("scale", "done", "web"),
    ]
    assert changes[4][:2] == ("stop", "rolling")
    assert changes[-1][:2] == ("stop", "done")
    assert len(changes) == 4 + 1 + 5 + 1


def test_a_change_that_is_taken_back_says_so_where_it_happened() -> None:
    stage = Noted(plan("a"), plan("b")).start()
    stage.command(cmd.Reload())
    stage.rest(lambda event: isinstance(event, ev.WorkerReady))
    stage.crash("web/0", "KeyError: 'DATABASE'")
    stage.rest()
    assert ("change", "reload", "failed") in stage.told("event", "what", "stage")
    failed = next(record for record in stage.noted if record.get("stage") == "failed")
    assert "KeyError" in failed["text"]
    assert ("ended", "exited 3") in about(stage, "web/0")


def test_no_more_is_remembered_than_is_bounded() -> None:
    stage = Noted(plan("a", solo=False)).start()
    for _ in range(ALL):
        stage.now += 60
        stage.crash("web/0", "x" * 100_000)
        stage.rest()
    assert len(stage.journal.recent) == ALL
    assert len(stage.journal.about("web/0")) == EACH
    assert [event for event, _ in about(stage, "web/1")] == ["ordered", "ready"]
    assert len(json.dumps(stage.journal.about("web/0"))) < EACH * 5000


def test_reader_in_pieces_misses_only_what_was_dropped() -> None:
    stage = Noted(plan("a")).start()
    numbers = []
    lines, place = stage.journal.lines(0, 2)
    while lines:
        numbers += [json.loads(line)["number"] for line in lines]
        lines, place = stage.journal.lines(place, 2)
    assert numbers == [json.loads(line)["number"] for line in stage.journal.recent]
    assert len(numbers) > 4
    for _ in range(ALL):
        stage.now += 60
        stage.crash("web/0")
        stage.rest()
    lines, after = stage.journal.lines(place, 2)
    assert json.loads(lines[0])["number"] == json.loads(stage.journal.recent[0])["number"] > numbers[-1] + 1
    assert after > place + 2


def test_slots_that_come_and_go_do_not_pile_up() -> None:
    journal = Journal()
    for number in range(20_000):
        order = act.OrderWorker(number + 1, 1, f"job/{number}", "a", ())
        journal.note(ev.SpareForked(1, number + 1), [order], number, number)
        if number >= 300:  # 300 live on
            journal.note(ev.WorkerEnded(number + 1, 0, "exited 0"), [], number, number)
    assert len(journal.slots) < 1500
    assert all(journal.about(f"job/{number}") for number in range(300))
    assert journal.about("job/19999")[-1]["event"] == "ended"
    assert len(journal.workers) == 300


def test_a_journal_goes_on_where_it_was_left() -> None:
    stage = Noted(plan("a"), plan("b")).start()
    stage.crash("web/0")
    restored = made_journal(made(KeptJournal, json.loads(json.dumps(kept_journal(stage.journal)))))
    assert restored.about("web/0") == stage.journal.about("web/0")
    event = ev.WorkerEnded(stage.pid("web/1"), 3, "exited 3")
    assert restored.note(event, [], 1.0, 2.0) == stage.journal.note(event, [], 1.0, 2.0)
    assert kept_journal(restored) == kept_journal(stage.journal)


def kept_journal(journal: Journal) -> Any:
    """Return what an upgrade keeps of it, as plain data."""
    return plain(KeptJournal, clients.journal(journal))


def test_what_nobody_needs_to_know_is_no_record() -> None:
    journal = Journal()
    for event in (ev.SpareForked(1, 5), ev.WorkerEnded(5, 0, "exited 0"), ev.DeadlinePassed(), ev.WorkerReady(77)):
        assert journal.note(event, [], 1.0, 1.0).records == []


def test_what_the_watch_for_hangs_finds_is_told_of_the_slot() -> None:
    stage = Noted(plan("a")).start()
    pid = stage.pid("web/0")
    stage.feed(ev.WorkerStarved(pid, 31.0))
    stage.feed(ev.WorkerStopped(pid, 19, 30.0))
    stage.feed(ev.WorkerContinued(pid))
    stage.feed(ev.WorkerHung(pid, "deadlock", Hang("web/0", pid, 1, "GET /", 30.04, 0.0), "the report"))
    told = stage.journal.about("web/0")[-5:]
    assert [record["event"] for record in told] == ["starved", "stopped", "continued", "hung", "killing"]
    assert sentence(told[3]) == f"hung for 30.04 s: deadlock, while doing GET / (pid {pid})\nthe report"
    assert "starved of CPU" in sentence(told[0])
    assert sentence(told[1]) == f"stopped by signal 19 (pid {pid})"
