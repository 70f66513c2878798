"""The commands that change a running daemon and wait for the outcome."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import click

from .._errors import CommandFailedError, UsageError
from .._linux.terminal import is_journal
from ..client import Client, Each
from ._daemon import daemon_argument, daemon_command, pools, print_json, slots
from ._options import flags_of
from ._say import say

_INTERRUPTED = "prefork: interrupted; the command continues in the daemon: `prefork events --follow` shows it"

_Call = Callable[[Each | None], str]


@click.command()
@flags_of("judge", "bake", "canary_share", "judge_min_requests", "judge_insufficient")
@daemon_argument
@daemon_command
def reload(client: Client, as_json: bool, **judging: Any) -> None:
    """Import the application again and replace every worker.

    By default a new worker is ready before the old one drains. If the new code fails, the old workers keep running and
    the application's error is printed. With --judge the first new workers serve beside the old ones for a while, and
    are compared with them: a generation that is worse is rolled back. The daemon's own options are the defaults.
    """
    given = {name: value for name, value in judging.items() if value is not None}
    _execute("reload", client, partial(client.reload, **given), as_json)


@click.command()
@daemon_argument
@daemon_command
def back(client: Client, as_json: bool) -> None:
    """Return to the code before the last reload.

    No code is imported: the mold of the former generation has been kept for --keep-mold seconds. A reload that is under
    way is withdrawn instead.
    """
    _execute("back", client, client.back, as_json)


@click.command()
@daemon_argument
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
    """Replace the worker of one slot, for example `web/0`, or one after the other those of a pool: `web`."""
    pool = [] if "/" in slot else [each["key"] for each in client.status()["slots"]]
    for key in [key for key in pool if key.startswith(f"{slot}/")] or [slot]:
        _execute("restart", client, partial(client.restart, key), as_json)


_SIZE = re.compile(r"auto|[+-]?[0-9]{1,9}")


@click.command(context_settings={"ignore_unknown_options": True})  # -1 is no option.
@click.argument("words", metavar="[POOL] SIZE", nargs=-1, required=True, shell_complete=pools)
@daemon_command
def scale(client: Client, as_json: bool, words: tuple[str, ...]) -> None:
    """Set the number of workers of a pool; without POOL, of the only or the default one.

    SIZE is a number within the limits of the pool, one more (`+1`) or less (`-1`) than now, or `auto` for the number in
    the plan. It is kept across reloads.
    """
    *pool, size = words
    if len(pool) > 1 or not _SIZE.fullmatch(size):
        raise UsageError(
            f"{' '.join(words)!r} is not a pool and its number of workers: give for example `4`, `web 4`, `+1`"
        )
    name = pool[0] if pool else None
    wanted = None if size == "auto" else int(size) + (_present(client, name) if size[0] in "+-" else 0)
    _execute("scale", client, lambda each: client.scale(name, "auto" if wanted is None else wanted, each), as_json)


def _present(client: Client, pool: str | None) -> int:
    """Return the present size of a pool. Raises CommandFailedError if it cannot be told which one is meant."""
    found = {each["pool"]: int(each["size"]) for each in client.status()["pools"] if pool in (None, each["pool"])}
    if len(found) != 1:
        raise CommandFailedError(f"there is no pool {pool}" if pool else f"name the pool: {', '.join(found) or 'none'}")
    return found.popitem()[1]


@click.command()
@daemon_argument
@daemon_command
def stop(client: Client, as_json: bool) -> None:
    """Let every worker finish its requests, then end the daemon.

    Returns when the daemon has ended.
    """
    _execute("stop", client, client.stop, as_json)


@click.command()
@daemon_argument
@daemon_command
def upgrade(client: Client, as_json: bool) -> None:
    """Replace the master's program by the one that is installed now: another prefork or Python, same pid.

    Workers, sockets and connections stay. The new program is tried in a child process first; if it fails, or cannot go
    on, the former one does. To replace workers too: `prefork reload`.
    """
    _execute("upgrade", client, client.upgrade, as_json)


@click.command()
@click.option("--replan", "of", flag_value="replan", help="Show what `prefork replan` would change.")
@click.option(
    "--reload", "of", flag_value="reload", default="reload", help="Show what `prefork reload` would change (default)."
)
@daemon_argument
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
    for sign, keys, colour in ("+", found["added"], "green"), ("-", found["removed"], "red"):
        for key in keys:
            say(f"  {sign} {key}", fg=colour)
    for key, why in found["replaced"].items():
        say(f"  ~ {key}  ({', '.join(why)})", fg="yellow")
    for sign, listeners in ("+", found["opened"]), ("-", found["closed"]):
        for listener, address in listeners.items():
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
