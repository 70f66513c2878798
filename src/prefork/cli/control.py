"""The commands that change a running daemon and wait for the outcome."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Literal

import click

from .._errors import CommandFailedError
from .._linux.terminal import is_journal
from ..client import Client, Each
from ._daemon import daemon_command, pools, print_json, slots
from ._say import say

_INTERRUPTED = "prefork: interrupted; the command continues in the daemon: `prefork events --follow` shows it"

_Call = Callable[[Each | None], str]


@click.command()
@daemon_command
def reload(client: Client, as_json: bool) -> None:
    """Import the application again and replace every worker.

    By default a new worker is ready before the old one drains. If the new code fails, the old workers keep running and
    the application's error is printed.
    """
    _execute("reload", client, client.reload, as_json)


@click.command()
@daemon_command
def replan(client: Client, as_json: bool) -> None:
    """Compute the plan again and apply the difference.

    No code is imported again: only workers that differ from the plan are started, replaced or stopped.
    """
    _execute("replan", client, client.replan, as_json)


@click.command()
@click.argument("slot", shell_complete=slots)
@daemon_command
def restart(client: Client, as_json: bool, slot: str) -> None:
    """Replace the worker of one slot, for example `web/0`."""
    _execute("restart", client, lambda each: client.restart(slot, each), as_json)


class _Size(click.ParamType):  # type: ignore[type-arg]  # older click has it without parameters
    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["auto"]:
        """Return a number, or "auto"."""
        if value == "auto":
            return "auto"
        if not str(value).isdecimal() or int(value) >= 2**31:
            self.fail(f"{value!r} is not a number of workers; give a number or auto", param, ctx)
        return int(value)


@click.command()
@click.argument("pool", shell_complete=pools)
@click.argument("size", type=_Size())
@daemon_command
def scale(client: Client, as_json: bool, pool: str, size: int | Literal["auto"]) -> None:
    """Set the number of workers of a pool.

    SIZE is a number within the limits of the pool, or `auto` for the number in the plan. It is kept across reloads.
    """
    _execute("scale", client, lambda each: client.scale(pool, size, each), as_json)


@click.command()
@daemon_command
def stop(client: Client, as_json: bool) -> None:
    """Let every worker finish its requests, then end the daemon.

    Returns when the daemon has ended.
    """
    _execute("stop", client, client.stop, as_json)


@click.command()
@click.option("--replan", "of", flag_value="replan", help="Show what `prefork replan` would change.")
@click.option(
    "--reload", "of", flag_value="reload", default="reload", help="Show what `prefork reload` would change (default)."
)
@daemon_command
def plan(client: Client, as_json: bool, of: Literal["reload", "replan"]) -> None:
    """Show what a reload or a replan would change.

    Changes nothing: a separate process imports the new code and computes the plan.
    """
    found = client.plan(of)
    if as_json:
        print_json({"ok": True, **found})
        return
    say(found["text"])
    for sign, name, colour in ("+", "added", "green"), ("-", "removed", "red"):
        for key in found[name]:
            say(f"  {sign} {key}", fg=colour)
    for key, why in found["replaced"].items():
        say(f"  ~ {key}  ({', '.join(why)})", fg="yellow")
    for sign, name in ("+", "opened"), ("-", "closed"):
        for listener, address in found[name].items():
            say(f"  {sign} listener {listener} {address}")


def _execute(what: str, client: Client, call: _Call, as_json: bool) -> None:
    """Send a command, show its progress and print the outcome. Raises what the client raises.

    As ExecReload= of the daemon's unit, prints nothing: the daemon's own lines are in that journal.
    """
    logged = not as_json and _is_logged(client)
    try:
        text = call(None) if as_json or logged else _with_progress(what, call)
    except CommandFailedError as error:
        if logged:
            sys.exit(error.exit_code)
        raise
    except KeyboardInterrupt:
        say(_INTERRUPTED, err=True)
        raise
    if as_json:
        print_json({"ok": True, "text": text})
    elif not logged:
        say(text)


def _is_logged(client: Client) -> bool:
    """Return whether the output of this command goes to the journal that has the daemon's log, for the same unit."""
    pid = os.environ.get("MAINPID")  # systemd.exec(5)
    if not pid or not is_journal(2, os.environ):
        return False
    hello = client.hello()
    return hello.get("journal") is True and str(hello["pid"]) == pid


def _with_progress(what: str, call: _Call) -> str:
    from ._progress import Progress  # Here: other commands start without it.

    with Progress(what) as progress:
        return call(progress.update)
