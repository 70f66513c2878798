"""`prefork check`: what `prefork run` would do, without a daemon."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from .._launch.served.launch import launch
from .._launch.served.surroundings import entered
from .._options.table import OPTIONS, Settings, resolve
from .._wire.plan_data import ReceivedPlan, take_apart
from ._dry_run import Failed, planned
from ._options import SectionedCommand, from_table
from ._say import say
from .run import refusing


@click.command(cls=SectionedCommand, short_help="Check the application and its plan; start nothing.")
@click.option("--show", is_flag=True, help="Print the value of each option, and its source.")
@click.option("--with-warming", is_flag=True, help="Warm the application up, too, and print what fails.")
@click.option("--strict", is_flag=True, help="Exit 1 if workers miss what the import has started, for CI.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@from_table
def check(given: dict[str, Any], show: bool, with_warming: bool, strict: bool, as_json: bool) -> None:
    """Import TARGET, compute its plan and print it, as `prefork run` with the same options would.

    Opens no listener and starts no worker. If the application fails, prints its traceback and exits 1. With --strict it
    exits 1, too, if the import has started what a fork does not carry over, such as a thread.
    """
    found: dict[str, Any] = {}
    with refusing():
        settings = resolve(given, os.environ, entered(given))
        if show:
            found["options"] = {
                option.name: {"value": settings[option.name], "source": settings.source(option.name)}
                for option in OPTIONS
            }
        if settings["target"] is not None or not show:
            found |= _plan(given, settings, with_warming)
    _print(found, as_json)
    lost = strict and found.get("lost")
    if lost:
        say(f"prefork: {found['target']}: workers miss what its import has started (--strict)", err=True)
    if "error" in found or lost:
        sys.exit(1)


def _plan(given: dict[str, Any], settings: Settings, warm: bool) -> dict[str, Any]:
    try:
        answer = planned(launch(given, settings), settings["import_timeout"], warm)
        received = take_apart(answer.plan)
        if refusal := received.plan.refusal():
            raise Failed(refusal)
    except Failed as error:
        return {"name": settings["name"], "target": settings["target"], "error": str(error)}
    return {
        "name": settings["name"],
        "target": settings["target"],
        "about": dict(received.about),
        "warnings": list(answer.warnings),
        "lost": list(answer.lost),
        **_parts(received),
    }


def _parts(received: ReceivedPlan) -> dict[str, Any]:
    plan = received.plan
    return {
        "listeners": [asdict(listener) for listener in plan.listeners],
        "kinds": [{"name": kind.name, **asdict(kind.options)} for kind in plan.kinds],
        "pools": [
            {"pool": pool.kind, "size": pool.size, "min": pool.minimum, "max": len(pool.keys)} for pool in plan.pools
        ],
        "slots": list(plan.wanted({})),
    }


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        import json

        say(json.dumps(found, indent=2))
        return
    if "options" in found:
        for name, option in found["options"].items():
            value = _shown(option["value"]) if name != "umask" or option["value"] is None else f"{option['value']:03o}"
            say(f"{name:<20} {value:<28} {option['source']}")
        say()
    if "error" in found:
        say(f"prefork: {found['target']} cannot be run\n{found['error']}", err=True)
    elif "slots" in found:
        say("\n".join(_lines(found)))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    about, pools = found["about"], {pool["pool"]: pool for pool in found["pools"]}
    yield f"{found['name']}: {found['target']}, {about.get('application', 'Daemon')}"
    for warning in found["warnings"]:
        yield f"  warning    {warning}"
    for lost in found["lost"]:
        yield f"  lost       {lost}"
    if server := about.get("server"):
        yield f"  server     {server}"
    for listener in found["listeners"]:
        yield f"  listener   {listener['name']} at {listener['address']}"
    for kind in found["kinds"]:
        name, pool = kind["name"], pools.get(kind["name"])
        size = f"{pool['size']}, can be scaled from {pool['min']} to {pool['max']}" if pool else "not a pool"
        yield f"  kind       {name} ({size}): restart {kind['restart']}, replace {kind['replace']}"
    yield f"  slots      {' '.join(found['slots']) or 'none'}"


def _shown(value: Any) -> str:
    """Return a value as one would write it in the file."""
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case list():
            return ", ".join(map(str, value))
    return str(value)
