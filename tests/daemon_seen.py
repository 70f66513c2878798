"""A daemon as the families of metrics see it, made of a real supervisor, its journal, and made-up measures."""

from __future__ import annotations

import json
from typing import Any

from core.stage import plan
from core.test_journal import Noted
from prefork._agent.families.seen import Limits, Seen
from prefork._agent.source import Usage
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.plan import Listener, Plan
from prefork._core.watch.verdicts import Hang
from prefork._linux.listening.backlogs import Backlog
from prefork.scoreboard import Counts, Histogram, Measures, Process, Reading


def measures(times: int = 1) -> Measures:
    """Measures with a value in each field."""
    empty = Measures()

    def histogram(like: Histogram) -> Histogram:
        return Histogram(like.bounds, (times,) * len(like.counts), 3.5 * times)

    return Measures(
        responses=tuple(times * number for number in range(6)), latency=histogram(empty.latency),
        queue=histogram(empty.queue), sent=1000 * times, received=10 * times, disconnects=times, refused=2 * times,
        lag=0.25 * times, late=3 * times,
    )  # fmt: skip


def process(slot: str, pid: int, **more: Any) -> Process:
    values: dict[str, Any] = {
        "generation": 1, "state": "ready", "started": 1.7e9, "requests": 5, "errors": 1, "open": 3, "in_flight": 2,
        "spent": 1.0, "busy_for": 0.5, "doing": "GET /",
    }  # fmt: skip
    return Process(slot, pid, **{**values, **more})


def with_listener(plan: Plan) -> Plan:
    return Plan(plan.entries, plan.kinds, plan.pools, (Listener("http", "tcp://127.0.0.1:8000"),))


def stage() -> Noted:
    """A daemon with a crash, a hang, a slot that waits, and a reload that failed."""
    stage = Noted(with_listener(plan("a", web=3, solo=False)), with_listener(plan("b", web=3, solo=False))).start()
    stage.crash("web/0")
    stage.rest()
    pid = stage.pid("web/0")
    stage.feed(ev.WorkerHung(pid, "deadlock", Hang("web/0", pid, 1, "GET /", 30.0, 0.0), "report"))
    stage.rest()
    while stage.slot("web/1")["retry_at"] is None:
        stage.crash("web/1")
        stage.rest(lambda event: isinstance(event, ev.WorkerReady))
    stage.command(cmd.Reload())
    stage.feed(ev.MoldFailed(2, "ImportError"))
    return stage


def status(stage: Noted) -> dict[str, Any]:
    """The status as a client gets it."""
    seen = stage.supervisor.view(stage.now)
    about = {"python": "3.11.7", "target": "shop:app", "started": 1.7e9, "time": 1.7e9 + 60}
    whole = {**about, **seen, "counts": stage.journal.tally.view()}
    decoded: dict[str, Any] = json.loads(json.dumps(whole))
    return decoded


def seen(stage: Noted) -> Seen:
    """All of it, with what /proc would say."""
    found = status(stage)
    pids = [slot["pid"] for slot in found["slots"] if slot["pid"]]
    processes = [process(slot["key"], slot["pid"]) for slot in found["slots"] if slot["pid"]]
    processes.append(process("agent/0", 77, in_flight=1))
    slots = {slot["key"]: Counts(10, 2) for slot in found["slots"]} | {"agent/0": Counts(99, 0)}
    reading = Reading(1.0, 30, 6, tuple(processes), slots, measures(), {1: measures(), 2: measures(2)})
    return Seen(
        reading,
        found,
        {pid: Usage(1.5, 40 << 20, 60 << 20, 0.25) for pid in pids},
        {"tcp://127.0.0.1:8000": Backlog(7, 4, 2048)},
        Limits(900 << 20, 1 << 30, 1.25),
    )
