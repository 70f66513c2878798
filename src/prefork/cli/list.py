"""`prefork list`: the daemons that run on this machine."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from .._client.search import Found, search, searched
from .._report.units import short_duration
from ._daemon import errors_as, json_option, print_json
from ._say import say
from ._words import user_name


@click.command("list", short_help="List the running daemons: name, state, workers, directory.")
@json_option
def list_(as_json: bool) -> None:
    """List the running daemons of this user; for root, those of all users."""
    with errors_as(as_json):
        everyone = os.geteuid() == 0
        found = [each for each in search(os.environ, everyone=everyone) if not each.refused]
        if as_json:
            for each in found:
                print_json(_record(each))
        elif found:
            _show(found, everyone)
        else:
            say(f"no daemon is running; searched: {', '.join(searched(os.environ, everyone))}", err=True)


def _record(found: Found) -> dict[str, Any]:
    """Return a daemon for programs; docs/control.md lists the members."""
    return {
        "name": found.name,
        "state": _state(found),
        "pid": found.pid or None,
        "uid": found.uid,
        "user": user_name(found.uid),
        "directory": found.directory,
        "target": found.target or None,
        "model": found.model or None,
        "ready": found.ready,
        "wanted": found.wanted,
        "started": found.started,
        "runtime_directory": found.place,
    }


def _state(found: Found) -> str:
    if not found.answers:
        return "unresponsive"
    return "stopping" if found.stopping else "running"


def _show(found: list[Found], everyone: bool) -> None:
    from ._table import Cell, Column, show

    columns = [
        Column("NAME"), Column("STATE"), Column("PID", align="right"), *([Column("USER")] if everyone else []),
        Column("READY", align="right"), Column("UP", align="right"), Column("TARGET", shrinks=2),
        Column("DIRECTORY", shrinks=1),
    ]  # fmt: skip
    now = time.time()
    rows = []
    for each in found:
        state = _state(each)
        served = each.ready is not None and each.ready == each.wanted
        ready = "-" if each.ready is None or each.wanted is None else f"{each.ready}/{each.wanted}"
        rows.append(
            [
                Cell(each.name),
                Cell(state, {"running": "green", "stopping": "yellow"}.get(state, "red")),
                Cell(str(each.pid or "-"), dim=not each.pid),
                *([Cell(user_name(each.uid))] if everyone else []),
                Cell(ready, None if served else "yellow"),
                Cell(short_duration(None if each.started is None else now - each.started)),
                Cell(each.target or "-", dim=not each.target),
                Cell(each.directory or "-", dim=not each.directory),
            ]
        )
    show(columns, rows)
