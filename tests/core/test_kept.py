"""Snapshots as bytes: what is damaged, forged or of another version is refused in words or read with what it has."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from core.stage import Stage, kinds, plan
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.kept.snapshot import MalformedSnapshot, Snapshot, from_bytes, to_bytes
from prefork._core.kept.types import check
from prefork._core.supervisor import Supervisor
from support import PROOF, chance_seed


def busy() -> Stage:
    """A daemon with each sort of object in its state: a change that rolls, one that waits, a scaling, a crash."""
    stage = Stage(plan("a"), kinds(plan("b"), limits={"nofile": (10, 20)}, affinity=(0, 1))).start()
    stage.command(cmd.Reload())
    stage.rest(but=lambda event: isinstance(event, ev.WorkerReady))
    stage.command(cmd.Restart("solo"))
    stage.command(cmd.Scale("web", 3))
    stage.crash("solo", "Traceback: one")
    stage.feed(ev.OrphansFound({4711: 30.0}))
    return stage


def written(stage: Stage, **sections: Any) -> bytes:
    supervisor = stage.supervisor
    return to_bytes(Snapshot("1.2", "3.12", supervisor.generation, supervisor.snapshot(), sections))


def objects(data: Any, cls: str) -> list[dict[str, Any]]:
    """The fields of each object of a class, wherever it stands in the data."""
    if isinstance(data, dict):
        return [found for item in data.values() for found in objects(item, cls)]
    if not isinstance(data, list):
        return []
    here = [data[1]] if len(data) == 2 and data[0] == cls and isinstance(data[1], dict) else []
    return here + [found for item in data for found in objects(item, cls)]


def test_snapshot_as_bytes_is_read_as_written() -> None:
    snapshot = from_bytes(written(busy(), children=[[1, 2]], listeners={"http": 7}))
    assert (snapshot.prefork, snapshot.python, snapshot.generation) == ("1.2", "3.12", 1)
    assert snapshot.sections == {"children": [[1, 2]], "listeners": {"http": 7}}
    assert snapshot.unknown(["children", "log"]) == {"listeners": {"http": 7}}
    again = Supervisor.restore(snapshot.state)
    assert again.snapshot() == snapshot.state == busy().supervisor.snapshot()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: b"", "no snapshot of prefork"),
        (lambda data: b"\x7fELF" + data, "no snapshot of prefork"),
        (lambda data: data[:20], "truncated: its head has no end"),
        (lambda data: data[:-1], r"truncated: \d+ bytes of \d+"),
        (lambda data: data + b"\n", r"bytes long, not \d+"),
        (lambda data: data.replace(b"web/1", b"web/7", 1), "checksum is wrong"),
        (lambda data: data.replace(b"snapshot 1 ", b"snapshot 2 ", 1), "checksum is wrong"),
        (lambda data: data.replace(b"snapshot 1 ", b"snapshot one ", 1), "head is damaged"),
    ],
)
def test_damaged_snapshot_is_refused_in_words(damage: Callable[[bytes], bytes], reason: str) -> None:
    with pytest.raises(MalformedSnapshot, match=reason):
        from_bytes(damage(written(busy())))


def test_snapshot_of_another_schema_is_read_or_refused() -> None:
    snapshot = from_bytes(written(busy()))
    with pytest.raises(MalformedSnapshot, match="schema 2, newer than 1"):
        from_bytes(to_bytes(snapshot, schema=2))
    with pytest.raises(MalformedSnapshot, match="schema 1, older than 3"):
        from_bytes(to_bytes(snapshot), {2: dict}, schema=3)

    def renamed(members: dict[str, Any]) -> dict[str, Any]:
        return {**members, "sections": {"processes": members["sections"].get("children")}}

    old = to_bytes(Snapshot("1.2", "3.12", 1, snapshot.state, {"children": [5]}))
    assert from_bytes(old, {1: renamed, 2: dict}, schema=3).sections == {"processes": [5]}


@pytest.mark.parametrize("member", ["prefork", "python", "generation", "sections"])
def test_snapshot_with_a_member_of_a_wrong_type_is_refused(member: str) -> None:
    snapshot = from_bytes(written(busy()))
    members = {name: getattr(snapshot, name) for name in ("prefork", "python", "generation", "state", "sections")}
    with pytest.raises(MalformedSnapshot, match=f"the snapshot's {member} is None"):
        from_bytes(to_bytes(Snapshot(**{**members, member: None})))


def test_fields_of_a_newer_version_come_back_to_it() -> None:
    """N+1 writes, N goes on and writes, N+1 reads what it had written, of whatever still exists."""
    newer = json.loads(json.dumps(busy().supervisor.snapshot()))
    sorts = ("State", "Worker", "Slot", "Mold", "Change", "Target", "KindOptions", "Plan", "Spec", "Orphan", "Pace")
    for sort in sorts:
        found = objects(newer, sort)
        assert found, sort
        for number, one in enumerate(found):
            one["of_tomorrow"] = ["Invented", {"number": number, "of": sort}]
    older = Supervisor.restore(newer)
    assert older.snapshot() == newer
    pid = next(pid for pid, worker in older._state.workers.items() if worker.phase == "starting")
    older.handle(ev.WorkerReady(pid), 1001.0)
    back = older.snapshot()
    assert back != newer
    workers = {one["pid"]: one for one in objects(back, "Worker")}
    assert workers[pid]["phase"] == "ready"
    assert {one["pid"]: one["of_tomorrow"] for one in objects(newer, "Worker")} == {
        number: one["of_tomorrow"] for number, one in workers.items()
    }
    for sort in sorts:
        lost = [one for one in objects(back, sort) if "of_tomorrow" not in one]
        assert len(lost) < len(objects(back, sort)), f"no {sort} has what it came with"


def test_fields_that_an_older_version_lacks_have_defaults() -> None:
    older = json.loads(json.dumps(busy().supervisor.snapshot()))
    (state,) = objects(older, "State")
    for name in ("overrides", "upgrading", "setback"):
        del state[name]
    for slot in objects(older, "Slot"):
        del slot["restarts"]
    view = Supervisor.restore(older).view(1000.0)
    assert view["overrides"] == {}
    assert {slot["restarts"] for slot in view["slots"]} == {0}
    del state["spec"]
    with pytest.raises(MalformedSnapshot, match="State has no spec"):
        Supervisor.restore(older)


@pytest.mark.parametrize(
    ("sort", "field", "value"),
    [
        ("Worker", "phase", "baking"),
        ("Worker", "pid", "12"),
        ("Worker", "deadline", True),
        ("Mold", "phase", "spare"),
        ("Slot", "pids", ["tuple", 1]),
        ("Slot", "target", ["#", -1]),
        ("Target", "kind", None),
        ("Change", "flight", ["dict", ["web/0", 1]]),
        ("KindOptions", "replace", "both-first"),
        ("KindOptions", "affinity", ["tuple", "one"]),
        ("KindOptions", "limits", ["dict", ["nofile", ["tuple", 1, 2, 3]]]),
        ("State", "plan", ["Invented", {}]),
    ],
)
def test_values_of_wrong_types_are_refused(sort: str, field: str, value: Any) -> None:
    data = json.loads(json.dumps(busy().supervisor.snapshot()))
    objects(data, sort)[-1][field] = value
    with pytest.raises(MalformedSnapshot, match="malformed"):
        Supervisor.restore(data)


def test_state_that_contradicts_itself_is_refused() -> None:
    data = json.loads(json.dumps(busy().supervisor.snapshot()))
    objects(data, "Slot")[0]["pids"] = ["list", 31337]
    with pytest.raises(MalformedSnapshot, match="contradicts itself"):
        Supervisor.restore(data)


def test_random_changes_raise_nothing_else() -> None:
    """Of bytes, and of values of a whole snapshot, whose checksum is right again."""
    chance = random.Random(chance_seed())
    data = written(busy(), children=[1])
    text = data.partition(b"\n")[2].decode()
    values: list[Any] = [None, True, -1, 1e9, "", "web/0", "ready", [], ["list"], ["dict", 1], ["#", 10**6], {}]
    refused = 0
    for _ in range(3000 if PROOF else 300):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        refused += raises_nothing_else(from_bytes, bytes(damaged[: chance.choice((None, chance.randrange(99)))]))
        members = json.loads(text)
        exchange(members["state"], chance, values)
        refused += raises_nothing_else(go_on, members["state"])
    assert refused > 200


def go_on(state: Any) -> None:
    supervisor = Supervisor.restore(state)
    to_bytes(Snapshot("1.2", "3.12", supervisor.generation, supervisor.snapshot()))
    supervisor.view(2000.0)


def raises_nothing_else(act: Callable[[Any], object], data: Any) -> bool:
    try:
        act(data)
    except MalformedSnapshot:
        return True
    return False


def exchange(data: Any, chance: random.Random, values: list[Any]) -> None:
    """Give one value, somewhere in the data, another value."""
    while True:
        names = list(data) if isinstance(data, dict) else list(range(len(data)))
        if not names:
            return
        name = chance.choice(names)
        if not isinstance(data[name], list | dict) or chance.random() < 0.1:
            data[name] = chance.choice(values)
            return
        data = data[name]


def test_types_are_read_from_annotations() -> None:
    assert check("dict[str, tuple[int, ...] | None]")({"a": (1, 2), "b": None})
    assert not check("dict[str, tuple[int, ...] | None]")({"a": (1, "2")})
    assert check('Literal["fact", "none"] | None')("fact")
    assert not check('Literal["fact", "none"] | None')("other")
    assert check("float")(1)
    assert not check("int")(True)
    assert not check("Worker")("Worker")


def test_snapshot_of_many_workers_has_each_kind_once() -> None:
    whole = plan("a", web=500, most=500, solo=False)
    stage = Stage(whole).start()
    data = json.loads(json.dumps(stage.supervisor.snapshot()))
    assert len(objects(data, "KindOptions")) == 2
    assert len(written(stage)) < 600_000
    kinds_of_targets = {id(slot.target.kind) for slot in Supervisor.restore(data)._state.slots.values() if slot.target}
    assert len(kinds_of_targets) == 1
