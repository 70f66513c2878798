"""The commands that change a running daemon. Each waits for the outcome; who interrupts it leaves the daemon to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import click

from ..client import Client, Each
from ._daemon import pools, slots, steers, tell

_GOES_ON = "prefork: interrupted; the daemon goes on with it (`prefork events --follow` shows how far it is)"

_Command = Callable[[Each | None], str]


@click.command()
@steers
def reload(client: Client, as_json: bool) -> None:
    """Import the application anew and replace every worker, new before old.

    Where that fails nothing has changed, and the application's own error is shown.
    """
    _carry_out("reload", client.reload, as_json)


@click.command()
@steers
def replan(client: Client, as_json: bool) -> None:
    """Compute the plan again, without importing anything, and apply the difference."""
    _carry_out("replan", client.replan, as_json)


@click.command()
@click.argument("slot", shell_complete=slots)
@steers
def restart(client: Client, as_json: bool, slot: str) -> None:
    """Replace the worker of one slot, such as `web/0`."""
    _carry_out("restart", lambda each: client.restart(slot, each), as_json)


class _Size(click.ParamType):  # type: ignore[type-arg]  # older click has it without parameters
    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["auto"]:
        """Return a number, or "auto"."""
        if value == "auto":
            return "auto"
        if not str(value).isdecimal() or int(value) >= 2**31:
            self.fail(f"{value!r} is neither a number of workers nor auto", param, ctx)
        return int(value)


@click.command()
@click.argument("pool", shell_complete=pools)
@click.argument("size", type=_Size())
@steers
def scale(client: Client, as_json: bool, pool: str, size: int | Literal["auto"]) -> None:
    """Give a pool SIZE workers, whatever the plan says; `auto` ends that."""
    _carry_out("scale", lambda each: client.scale(pool, size, each), as_json)


@click.command()
@steers
def stop(client: Client, as_json: bool) -> None:
    """Let every worker finish what it is at, then end the daemon; returns when it has gone."""
    _carry_out("stop", client.stop, as_json)


@click.command()
@click.option("--replan", "of", flag_value="replan", help="What `prefork replan` would change.")
@click.option("--reload", "of", flag_value="reload", default="reload", help="What `prefork reload` would; the default.")
@steers
def plan(client: Client, as_json: bool, of: Literal["reload", "replan"]) -> None:
    """Show what a reload or a replan would change, and change nothing.

    The new code is imported for that, and its plan computed, in a process of its own.
    """
    found = client.plan(of)
    if as_json:
        tell({"ok": True, **found})
        return
    click.echo(found["text"])
    for sign, name, colour in ("+", "added", "green"), ("-", "removed", "red"):
        for key in found[name]:
            click.secho(f"  {sign} {key}", fg=colour)
    for key, why in found["replaced"].items():
        click.secho(f"  ~ {key}  ({', '.join(why)})", fg="yellow")
    for sign, name in ("+", "opened"), ("-", "closed"):
        for listener, address in found[name].items():
            click.echo(f"  {sign} listener {listener} {address}")


def _carry_out(what: str, command: _Command, as_json: bool) -> None:
    """Have it done, show how it gets on, and say how it ended. Raises what the client raises."""
    try:
        text = command(None) if as_json else _watched(what, command)
    except KeyboardInterrupt:
        click.echo(_GOES_ON, err=True)
        raise
    if as_json:
        tell({"ok": True, "text": text})
    else:
        click.echo(text)


def _watched(what: str, command: _Command) -> str:
    from ._progress import Watched  # It may need rich, which nobody else here does.

    with Watched(what) as watched:
        return command(watched.each)
