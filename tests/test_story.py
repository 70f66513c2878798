"""A daemon's records told as spans, and which of its agents tells them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prefork._agent.story.orders import Orders
from prefork._agent.story.story import Span, Story
from prefork._agent.story.turn import Turn

Record = dict[str, Any]
AGENT = "agent/0"


class Records:
    """Records as a master makes them: numbered, a second apart."""

    def __init__(self) -> None:
        self.all: list[Record] = []

    def add(self, event: str, slot: str = "", pid: int = 0, **members: Any) -> None:
        about = {"slot": slot, "generation": members.pop("generation", 1)} if slot else {}
        about |= {"pid": pid} if pid else {}
        number = len(self.all) + 1
        self.all.append({"number": number, "time": float(number), "event": event, **about, **members})

    def change(self, what: str, stage: str, generation: int = 1, **members: Any) -> None:
        self.add("change", what=what, stage=stage, generation=generation, left=0, **members)

    def start(self, pids: dict[str, int]) -> None:
        self.change("start", "planning")
        self.add("mold_started", generation=1)
        self.add("planned", generation=1, workers=len(pids))
        self.change("start", "done")
        for slot, pid in pids.items():
            self.add("ordered", slot, pid, why="daemon start")
        for slot, pid in pids.items():
            self.add("ready", slot, pid, after=1.0)

    def exchange(self, slot: str, old: int, new: int, why: str, generation: int = 2) -> None:
        self.add("ordered", slot, new, why=why, generation=generation)
        self.add("ready", slot, new, generation=generation)
        self.add("draining", slot, old, why=why)

    def ended(self, slot: str, pid: int, status: int = 0, reason: str = "exited 0") -> None:
        self.add("ended", slot, pid, status=status, reason=reason, doing="")

    def spans(self) -> list[Span]:
        story = Story(AGENT)
        return [span for record in Orders().whole(self.all) for span in story.tell(record)]


def tree(spans: list[Span]) -> Iterator[str]:
    """Yield each span with its parent's name."""
    names = {span.number: span.name for span in spans}
    for span in spans:
        assert span.parent is None or spans[0].trace == span.trace or span.parent == span.trace
        yield f"{names[span.parent]} > {span.name}" if span.parent else span.name


def test_start_has_import_and_workers() -> None:
    records = Records()
    records.start({"web/0": 10, "web/1": 11, AGENT: 12})
    spans = records.spans()
    assert list(tree(spans)) == ["start > import", "start", "start > worker start", "start > worker start"]
    assert [span.ended - span.begun for span in spans] == [1, 3, 3, 3]


def test_start_of_spawned_workers_is_the_same() -> None:
    """Their processes start after the order."""
    records = Records()
    records.change("start", "planning")
    records.change("start", "done")
    for slot, pid in {"web/0": 10, AGENT: 11}.items():
        records.add("ordered", slot, why="daemon start")
        records.add("spawned", slot, pid)
    records.add("ready", "web/0", 10)
    assert list(tree(records.spans())) == ["start", "start > worker start"]
    assert told(records, 11) == [record["number"] for record in records.all]


def test_reload_has_import_canary_exchanges_and_drains() -> None:
    records = Records()
    why = "reload requested by uid 7 (pid 8)"
    records.add("command", command="reload", by="uid 7 (pid 8)")
    records.change("reload", "planning", 2)
    records.all[-1]["time"] = records.all[-2]["time"]
    records.add("mold_started", generation=2)
    records.add("planned", generation=2, workers=2)
    records.change("reload", "rolling", 2)
    records.exchange("web/0", 10, 20, why)
    records.exchange("web/1", 11, 21, why)
    records.ended("web/1", 11)
    records.ended("web/0", 10, -9, "killed by SIGKILL")
    records.change("reload", "done", 2)
    spans = records.spans()
    assert list(tree(spans)) == [
        "reload > import",
        "reload > canary",
        "reload > exchange",
        "reload > drain",
        "reload > drain",
        "reload",
    ]
    assert spans[-1].attributes == {"prefork.generation": 2, "prefork.cause": "uid 7 (pid 8)"}
    assert spans[1].attributes["prefork.slot"] == "web/0"
    assert [span.error for span in spans] == ["", "", "", "", "killed by SIGKILL", ""]


def test_failed_reload_has_the_report_on_the_import() -> None:
    records = Records()
    records.change("reload", "planning", 2)
    records.add("mold_started", generation=2)
    records.add("plan_failed", generation=2, report="ZeroDivisionError\n1/0")
    records.change("reload", "failed", 2, text="reload: failed: ZeroDivisionError")
    assert [(span.name, span.error) for span in records.spans()] == [
        ("import", "ZeroDivisionError\n1/0"),
        ("reload", "reload: failed: ZeroDivisionError"),
    ]


def test_crash_is_a_relaunch_from_the_end_to_ready() -> None:
    """With an attempt that fails in between."""
    records = Records()
    records.start({"web/0": 10})
    records.ended("web/0", 10, -11, "killed by SIGSEGV")
    records.add("ordered", "web/0", 11, why="previous worker killed by SIGSEGV")
    records.ended("web/0", 11, 1, "exited 1")
    records.add("ordered", "web/0", 12, why="previous worker exited 1")
    records.add("ready", "web/0", 12)
    attempt, relaunch = records.spans()[-2:]
    assert (attempt.name, attempt.parent, attempt.error) == ("worker start", relaunch.number, "exited 1")
    assert (relaunch.name, relaunch.parent, relaunch.ended - relaunch.begun) == ("relaunch", None, 4)
    assert relaunch.attributes["prefork.cause"] == "killed by SIGSEGV"


def test_limit_is_a_relaunch_with_its_drain() -> None:
    records = Records()
    records.start({"web/0": 10})
    records.exchange("web/0", 10, 11, "reached a limit: 1000 requests", generation=1)
    records.ended("web/0", 10)
    assert list(tree(records.spans()[-2:])) == ["relaunch", "relaunch > drain"]


def test_scaling_has_its_starts_and_drains() -> None:
    records = Records()
    records.add("ordered", "web/3", 13, why="scale web 4 requested by uid 0")
    records.change("scale", "rolling", pool="web")
    records.add("ready", "web/3", 13)
    records.change("scale", "done", pool="web")
    records.change("scale", "rolling", pool="web")
    records.add("draining", "web/3", 13, why="scale web 3 requested by uid 0")
    records.ended("web/3", 13)
    records.change("scale", "done", pool="web")
    assert list(tree(records.spans())) == ["scale > worker start", "scale", "scale > drain", "scale"]


def test_hang_is_a_span_of_its_length() -> None:
    records = Records()
    records.add("hung", "web/0", 10, verdict="deadlock", doing="GET /", seconds=0.75)
    [span] = records.spans()
    assert (span.name, span.begun, span.ended, span.error) == ("hang", 0.25, 1.0, "deadlock")


def told(records: Records, pid: int) -> list[int]:
    """Return the numbers of the records whose ends the agent `pid` tells."""
    turn = Turn(AGENT, pid, Orders().whole(records.all))
    return [record["number"] for record in records.all if turn.has(record)]


def test_every_record_is_told_by_one_agent() -> None:
    """The first one ends by a crash, the second and the third by a reload."""
    records = Records()
    records.start({"web/0": 10, AGENT: 20})
    records.ended(AGENT, 20, -9, "killed by SIGKILL")
    records.add("ordered", AGENT, 21, why="previous worker killed by SIGKILL")
    records.add("ready", AGENT, 21)
    records.add("ended", "web/0", 10)
    records.exchange(AGENT, 21, 22, "signal HUP")
    records.ended(AGENT, 21)
    records.exchange(AGENT, 22, 23, "signal HUP", generation=3)
    by_agent = [told(records, pid) for pid in (20, 21, 22, 23)]
    assert sorted(number for numbers in by_agent for number in numbers) == [record["number"] for record in records.all]
    assert [numbers[0] for numbers in by_agent] == [1, 9, 15, 19]


def test_agent_of_a_forgotten_predecessor_waits_for_its_drain() -> None:
    records = Records()
    records.add("ordered", "web/0", 10, why="signal HUP")
    records.add("ordered", AGENT, 22, why="signal HUP")
    assert told(records, 22) == []
    records.add("draining", AGENT, 21, why="signal HUP")
    assert told(records, 22) == [3]
