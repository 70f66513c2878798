"""`prefork status`: what there is, at a glance; for programs; and as a probe."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from .._errors import SystemFailure
from .._report.units import counted, duration, precise_duration, short_duration, short_size
from .._wire import keys
from ..client import Client
from ..scoreboard import Counts, Process, open_scoreboard
from . import _processes
from ._daemon import steers, tell
from ._words import with_user_names

Slot = dict[str, Any]

_COLOURS = {
    "ready": "green",
    "starting": "cyan",
    "draining": "yellow",
    "waiting": "yellow",
    "leaving": "yellow",
    "killed": "red",
    "degraded": "red",
}


@click.command()
@click.option("--memory", is_flag=True, help="Add each worker's memory: what it has to itself, and what it shares.")
@click.option("--check", is_flag=True, help="Only tell whether every slot is served: exit 0 or 1. For probes.")
@steers
def status(client: Client, as_json: bool, memory: bool, check: bool) -> None:
    """Show the slots of a running daemon: their state, process, load and last exit."""
    seen = client.status()
    if check:
        sys.exit(_check(seen, as_json))
    load = _load(client)
    for slot in seen["slots"]:
        _look_at(slot, load, memory)
    if as_json:
        tell(seen)
        return
    for line in _head(seen):
        click.echo(line)
    click.echo()
    _show(seen, memory)


def _load(client: Client) -> tuple[dict[str, Counts], dict[int, Process]]:
    """Return what each slot has counted, and what each process does; nothing where there is no scoreboard to be had."""
    try:
        with open_scoreboard(client) as board:
            reading = board.read()
    except SystemFailure:
        return {}, {}
    return reading.slots, {process.pid: process for process in reading.processes}


def _look_at(slot: Slot, load: tuple[dict[str, Counts], dict[int, Process]], memory: bool) -> None:
    """Add what only /proc and the scoreboard know."""
    slots, processes = load
    counts = slots.get(slot["key"])
    slot["requests"] = counts and counts.requests
    slot["errors"] = counts and counts.errors
    for process in (slot, *slot["leaving"]):
        pid = process["pid"]
        found = processes.get(pid)
        process["in_flight"] = found and found.in_flight
        process["doing"] = (found and found.doing) or None
        process["cpu"] = pid and _processes.cpu(pid)
        if memory:
            process["memory"] = pid and _processes.memory(pid)


def _check(seen: dict[str, Any], as_json: bool) -> int:
    """Say whether every slot is served, or being exchanged as somebody wished; return the exit code."""
    unserved = [
        s for s in seen["slots"] if not (s["serving"] or s["exchanging"] or s["state"] in ("finished", "leaving"))
    ]
    ok = bool(seen["slots"]) and not unserved and not seen["stopping"]
    if seen["stopping"]:
        text = "the daemon is stopping"
    elif not seen["slots"]:
        text = "there is no plan yet"
    else:
        text = ", ".join(
            f"{s['key']} {s['state']}" + (f" ({s['last_exit']})" if s["last_exit"] else "") for s in unserved
        )
    text = text or f"{counted(len(seen['slots']), 'slot')} served"
    if as_json:
        tell({"ok": ok, "text": text})
    else:
        click.echo(text, err=not ok)
    return 0 if ok else 1


def _head(seen: dict[str, Any]) -> list[str]:
    """Return the lines above the table."""
    serving = sum(1 for slot in seen["slots"] if slot["serving"] or slot["state"] == "finished")  # As the title counts.
    up = duration(seen["time"] - seen["started"])
    lines = [
        f"{click.style(seen['name'], bold=True)}: {serving} of {counted(len(seen['slots']), 'slot')} served, "
        f"generation {seen['generation']}, pid {seen['pid']}, up {up}" + (", stopping" if seen["stopping"] else "")
    ]
    for change in [*([seen["change"]] if seen["change"] else []), *seen["queue"]]:
        to_go = f", {counted(change['left'], 'slot')} to go" if change["stage"] == "rolling" else ""
        text = f"{change['what']} to generation {change['to']}: {change['stage']}{to_go} ({change['why']})"
        lines.append(with_user_names(text))
    for pool in seen["pools"]:
        own = "" if pool["size"] == pool["planned"] else f", {pool['planned']} by the plan"
        lines.append(f"pool {pool['kind']}: {pool['size']} of {pool['min']} to {pool['max']}{own}")
    for mold in seen["molds"]:
        pid = f"pid {mold['pid']}, " if mold["pid"] else ""
        lines.append(
            f"mold of generation {mold['generation']}: {pid}{mold['state']}, {counted(mold['spares'], 'spare')}"
        )
    return lines


def _show(seen: dict[str, Any], memory: bool) -> None:
    from ._table import Cell, Column, show

    columns = [
        Column("SLOT"), Column("STATE"), Column("PID", align="right"), Column("GENERATION", "GEN", "right"),
        Column("AGE", align="right"), Column("REQUESTS", "REQ", "right"), Column("IN FLIGHT", "FLY", "right"),
        Column("NOW DOING", gives_way=2), Column("CPU", align="right"),
        *([Column("PRIVATE", align="right"), Column("SHARED", align="right")] if memory else []),
        Column("RESTARTS", "RST", "right"), Column("LAST EXIT", gives_way=1),
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    for slot in sorted(seen["slots"], key=lambda slot: keys.order(slot["key"])):
        restarts = Cell(str(slot["restarts"]), "yellow" if slot["restarts"] else None)
        last = [restarts, Cell(_exit(slot["last_exit"]), dim=slot["last_exit"] in ("", "exited 0"))]
        state = _waiting(slot, seen["time"])
        rows.append([Cell(slot["key"]), Cell(state, _COLOURS.get(slot["state"])), *_process(slot, seen, memory), *last])
        for old in slot["leaving"]:
            phase = Cell(old["state"], _COLOURS.get(old["state"]))
            rows.append([Cell(" └"), phase, *_process({**old, "requests": None}, seen, memory), Cell(""), Cell("")])
    show(columns, rows)


def _process(process: Slot, seen: dict[str, Any], memory: bool) -> list[Any]:
    from ._table import Cell

    def number(value: int | None) -> Cell:
        return Cell("-" if value is None else str(value), dim=not value)

    since = process["since"]
    behind = process["generation"] is not None and process["generation"] != seen["generation"]
    cells = [
        number(process["pid"]),
        Cell(number(process["generation"]).text, "cyan" if behind else None),
        Cell(short_duration(None if since is None else seen["time"] - since)),
        number(process["requests"]),
        number(process["in_flight"]),
        Cell(process["doing"] or "-", dim=not process["doing"]),
        Cell(precise_duration(process["cpu"])),
    ]
    if memory:
        found = process["memory"] or {}
        cells += [Cell(short_size(found.get("private"))), Cell(short_size(found.get("shared")))]
    return cells


def _exit(reason: str) -> str:
    """Return how the last process ended, as short as a table needs it."""
    return re.sub("^(was )?killed by (us )?", "", reason) or "-"


def _waiting(slot: Slot, now: float) -> str:
    """Return a slot's state; where it waits to be tried again, for how long still."""
    if slot["retry_at"] is not None and slot["pid"] is None:
        return f"{slot['state']} {max(0.0, slot['retry_at'] - now):.0f}s"
    return str(slot["state"])
