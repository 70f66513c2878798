"""`prefork status`: the state of every slot, as a table, as JSON, or as a health check."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from .._errors import SystemFailure
from .._linux.figures import process as figures
from .._linux.listening.backlogs import backlogs
from .._report import baking
from .._report.judgement import judge
from .._report.units import counted, duration, precise_duration, short_duration, short_size
from .._wire import keys
from ..client import Client
from ..scoreboard import Counts, Process, Reading, open_scoreboard
from . import _traffic
from ._daemon import daemon_argument, print_json, reading_command
from ._say import say
from ._words import with_user_names

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
@click.option("--memory", is_flag=True, help="Add the private and shared memory of each worker.")
@click.option(
    "--traffic",
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="Measure for this time, and add latency, time in the queue and errors by generation. 0: since the start.",
)
@click.option("--check", is_flag=True, help="Health check: exit 0 if all slots are served and could be again, else 1.")
@daemon_argument
@reading_command
def status(client: Client, as_json: bool, memory: bool, traffic: float | None, check: bool) -> None:
    """Show the slots of a running daemon: state, load, last exit."""
    if check:
        sys.exit(_check(client.status(), as_json))
    before = _load(client) if traffic else None
    if traffic:
        time.sleep(traffic)
    reported, reading = client.status(), _load(client)
    view: dict[str, Any] = {**reported}
    _add_backlogs(view["listeners"])
    processes = {process.pid: process for process in reading.processes} if reading else {}
    for slot in view["slots"]:
        counts = reading.slots.get(slot["key"]) if reading else None
        _add_load(slot, counts, processes, memory)
    if traffic is not None:
        if reading is None:
            raise SystemFailure("the scoreboard cannot be read: there are no figures for --traffic")
        _add_traffic(view, reading, before)
    if as_json:
        print_json(view)
        return
    for line in _summary(view):
        say(line)
    say()
    _show(view, memory)


def _load(client: Client) -> Reading | None:
    """Return the counters; None if the scoreboard cannot be opened."""
    try:
        with open_scoreboard(client) as board:
            return board.read()
    except SystemFailure:
        return None


def _add_backlogs(listeners: list[dict[str, Any]]) -> None:
    """Add how many connections wait, and how many can; null for a datagram socket, or where the kernel refuses."""
    found = backlogs()
    for listener in listeners:
        backlog = found.get(listener["address"])
        listener["waiting"] = backlog and backlog.waiting
        listener["limit"] = backlog and backlog.limit


def _add_traffic(view: dict[str, Any], reading: Reading, before: Reading | None) -> None:
    """Add what requests did since `before`, of the daemon and of each slot."""
    view["traffic"] = _traffic.traffic(reading, before)
    slots = _traffic.by_slot(reading, before)
    for slot in view["slots"]:
        slot["latency"] = _traffic.percentiles(slots[slot["key"]]) if slot["key"] in slots else None


def _add_load(slot: dict[str, Any], counts: Counts | None, processes: dict[int, Process], memory: bool) -> None:
    """Add the fields that only /proc and the scoreboard have."""
    slot["requests"] = counts and counts.requests
    slot["errors"] = counts and counts.errors
    for process in (slot, *slot["leaving"]):
        pid = process["pid"]
        found = processes.get(pid)
        process["in_flight"] = found and found.in_flight
        process["doing"] = (found and found.doing) or None
        process["cpu"] = pid and figures.cpu(pid)
        if memory:
            process["memory"] = pid and figures.memory(pid)


def _check(view: Mapping[str, Any], as_json: bool) -> int:
    """Print whether every slot is served, or being replaced by a command; return the exit code."""
    ok, text = judge(view)
    if as_json:
        print_json({"ok": ok, "text": text})
    else:
        say(text, err=not ok)
    return 0 if ok else 1


def _summary(view: dict[str, Any]) -> list[str]:
    """Return the lines above the table."""
    # As in the process title:
    slots = [slot for slot in view["slots"] if not slot.get("auxiliary")]
    serving = sum(1 for slot in slots if slot["serving"] or slot["state"] == "finished")
    up = duration(view["time"] - view["started"])
    lines = [
        f"{click.style(view['name'], bold=True)}: {serving} of {counted(len(slots), 'slot')} served, "
        f"generation {view['generation']}, pid {view['pid']}, up {up}" + (", stopping" if view["stopping"] else "")
    ]
    for change in [*([view["change"]] if view["change"] else []), *view["queue"]]:
        to_go = f", {counted(change['left'], 'slot')} to go" if change["stage"] == "rolling" else ""
        text = f"{change['what']} to generation {change['to']}: {change['stage']}{to_go} ({change['why']})"
        lines.append(with_user_names(text))
        lines += baking.lines(change, view["time"])
    for pool in view["pools"]:
        own = "" if pool["size"] == pool["planned"] else f", {pool['planned']} planned"
        size = counted(pool["size"], "worker")
        lines.append(f"pool {pool['pool']}: {size} (min {pool['min']}, max {pool['max']}{own})")
    for listener in view["listeners"]:
        waiting = "" if listener["waiting"] is None else f", {listener['waiting']} of {listener['limit']} waiting"
        lines.append(f"listener {listener['name']}: {listener['address']}{waiting}")
    for mold in view["molds"]:
        pid = f"pid {mold['pid']}, " if mold["pid"] else ""
        lines.append(
            f"mold of generation {mold['generation']}: {pid}{mold['state']}, {counted(mold['spares'], 'spare')}"
        )
    return [*lines, *(_traffic.lines(view["traffic"]) if "traffic" in view else ())]


def _show(view: dict[str, Any], memory: bool) -> None:
    from ._table import Cell, Column, show

    columns = [
        Column("SLOT"), Column("STATE"), Column("PID", align="right"), Column("GENERATION", "GEN", "right"),
        Column("AGE", align="right"), Column("REQUESTS", "REQ", "right"), Column("IN FLIGHT", "BUSY", "right"),
        *([Column("P95", align="right"), Column("P99", align="right")] if "traffic" in view else []),
        Column("NOW DOING", shrinks=2), Column("CPU", align="right"),
        *([Column("PRIVATE", align="right"), Column("SHARED", align="right")] if memory else []),
        Column("RESTARTS", "RST", "right"), Column("LAST EXIT", shrinks=1),
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    for slot in sorted(view["slots"], key=lambda slot: keys.order(slot["key"])):
        restarts = Cell(str(slot["restarts"]), "yellow" if slot["restarts"] else None)
        last = [restarts, Cell(_exit(slot["last_exit"]), dim=slot["last_exit"] in ("", "exited 0"))]
        state = _state(slot, view["time"])
        rows.append([Cell(slot["key"]), Cell(state, _COLOURS.get(slot["state"])), *_process(slot, view, memory), *last])
        for old in slot["leaving"]:
            phase = Cell(old["state"], _COLOURS.get(old["state"]))
            rows.append([Cell(" └"), phase, *_process({**old, "requests": None}, view, memory), Cell(""), Cell("")])
    show(columns, rows)


def _process(process: dict[str, Any], view: dict[str, Any], memory: bool) -> list[Any]:
    from ._table import Cell

    def number(value: int | None) -> Cell:
        return Cell("-" if value is None else str(value), dim=not value)

    since = process["since"]
    behind = process["generation"] is not None and process["generation"] != view["generation"]
    cells = [
        number(process["pid"]),
        Cell(number(process["generation"]).text, "cyan" if behind else None),
        Cell(short_duration(None if since is None else view["time"] - since)),
        number(process["requests"]),
        number(process["in_flight"]),
        *(_latency(process) if "traffic" in view else []),
        Cell(process["doing"] or "-", dim=not process["doing"]),
        Cell(precise_duration(process["cpu"])),
    ]
    if memory:
        found = process["memory"] or {}
        cells += [Cell(short_size(found.get("private"))), Cell(short_size(found.get("shared")))]
    return cells


def _latency(process: dict[str, Any]) -> list[Any]:
    from ._table import Cell

    found = process.get("latency") or {}
    return [Cell(precise_duration(found.get(name))) for name in ("p95", "p99")]


def _exit(reason: str) -> str:
    """Return the last exit, shortened for the table."""
    return re.sub("^(was )?killed by (us )?", "", reason) or "-"


def _state(slot: dict[str, Any], now: float) -> str:
    """Return a slot's state, with the seconds until the next start while it waits for one."""
    if slot["retry_at"] is not None and slot["pid"] is None:
        return f"{slot['state']} {max(0.0, slot['retry_at'] - now):.0f}s"
    return str(slot["state"])
