"""docs/control.md names every request, event and command that there is, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from core.stage import Stage, plan
from prefork._master.control.requests import MalformedRequest, parse
from prefork._report.counts.tally import CAUSES
from prefork._report.sentences import EVENTS
from prefork.cli import main

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
