"""docs/control.md names every request, event and command that there is, and no others."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from core.stage import Stage, plan
from prefork._core import change as change_of_core
from prefork._core import events as ev
from prefork._core.actions import Announce
from prefork._core.commands import COMMANDS
from prefork._core.view.difference import difference
from prefork._core.view.status import change_view
from prefork._master.control.requests import MalformedRequest, parse
from prefork._report.counts import tally
from prefork._report.counts.tally import CAUSES, Tally
from prefork._report.sentences import EVENTS
from prefork.cli import main
from prefork.client import Change, Counts, Difference, Event, MoldState, Outcomes, PoolSize, SlotState, Status

INNER = {"id", "hang", "plan", "about", "drain_timeouts", "patience", "terminal_gone", "over", "key", "name"}
"""Fields of events that clients see under other names, or not at all."""

TEXT = (Path(__file__).parent.parent / "docs" / "control.md").read_text()


def table(heading: str) -> str:
    """Return the first column of a table, by the heading of what follows it."""
    rows = TEXT.partition(heading)[2].partition("\n\n")[0].splitlines()
    return " ".join(row.split("|")[1] for row in rows if row.startswith("| `"))


def test_its_requests_are_requests_and_all_that_there_are() -> None:
    lines = [line.strip() for line in TEXT.splitlines() if line.startswith('    {"protocol"')]
    assert {parse(line.encode()).what for line in lines} == {
        "hello", "status", "scoreboard", "connection", "events", "explain", "profile", "command",
    }  # fmt: skip
    asked = {re.findall(r'"request": "(\w+)"', line)[0] for line in lines}
    for line in lines:
        with pytest.raises(MalformedRequest):
            parse(line.replace('"request"', '"more": 1, "request"').encode())
    described = set(re.findall(r"`(\w+)`", table("| request | members of the reply")))
    assert asked - described == {
        "reload",
        "back",
        "replan",
        "restart",
        "scale",
        "plan",
        "stop",
        "upgrade",
    }  # "commands", in one row


def test_its_events_are_those_that_there_are() -> None:
    assert set(re.findall(r"`([\w ]+)`", table("| event | |"))) == set(EVENTS)


def test_its_statuses_have_the_members_that_they_have() -> None:
    stage = Stage(plan()).start()
    seen = stage.supervisor.view(stage.now)
    (slot, *_) = seen["slots"]
    assert set(re.findall(r"`(\w+)`", table("| of a slot |"))) == set(slot)
    added = {"pid", "python", "started", "time", "directory", "target", "model", "counts"}
    assert set(re.findall(r"`(\w+)`", table("| member |"))) == {*seen, *added}


def test_answers_are_typed_with_their_members() -> None:
    stage = Stage(plan()).start()
    seen = stage.supervisor.view(stage.now)
    assert {*Status.__annotations__} == set(re.findall(r"`(\w+)`", table("| member |")))
    assert {*SlotState.__annotations__} == {*seen["slots"][0]}
    assert {*MoldState.__annotations__} == {*seen["molds"][0], "pid"}
    assert {*PoolSize.__annotations__} == {*seen["pools"][0]}
    assert {*Counts.__annotations__} == {*Tally().view()}
    assert {*Outcomes.__annotations__} == {field.name for field in fields(tally.Outcomes)}
    change = change_of_core.Change("reload", [])
    assert {*Change.__annotations__} == {*change_view(change)}
    assert {*Difference.__annotations__} == {"text", *difference(stage.supervisor._state, change, plan())}


def test_events_are_typed_with_their_members() -> None:
    named = [each for each in vars(ev).values() if isinstance(each, type) and hasattr(each, "NAME")]
    members = {field.name for each in [*named, *COMMANDS.values(), Announce] for field in fields(each)}
    assert members - INNER <= {*Event.__annotations__}, members - INNER - {*Event.__annotations__}


def test_its_causes_of_an_end_are_those_that_are_counted() -> None:
    assert re.findall(r"`(\w+)`", table("| cause of an end |")) == list(CAUSES)


def test_every_command_prints_json_but_those_that_stay() -> None:
    commands = {name: main.get_command(click.Context(main), name) for name in main.list_commands(click.Context(main))}
    without = [name for name, command in commands.items() if command and "--json" not in str(_flags(command))]
    assert sorted(without) == ["run", "top"]


def _flags(command: click.Command) -> list[str]:
    return [flag for parameter in command.params for flag in parameter.opts]


def test_every_command_is_named() -> None:
    for command in set(main.list_commands(click.Context(main))) - {"run", "check", "new", "migrate", "systemd"}:
        assert f"    prefork {command}" in TEXT, command
