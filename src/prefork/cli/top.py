"""`prefork top`: a page that shows what a daemon does, as it does it."""

from __future__ import annotations

import os
import sys

import click

from .._errors import PreforkError, UsageError
from ..client import Client, connect
from ._daemon import exit_code, names


@click.command()
@click.option("-n", "--name", help="The daemon's name, or its runtime directory.", shell_complete=names)
def top(name: str | None) -> None:
    """Watch a running daemon, and steer it, on a page in the terminal."""
    try:
        _show(connect(name))
    except PreforkError as error:
        click.echo(f"prefork: {error}", err=True)
        sys.exit(exit_code(error))


def _show(client: Client) -> None:
    """Raises UsageError where there is no terminal, or no library to draw with."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise UsageError("`prefork top` needs a terminal to draw its page on; `prefork status` prints the same once")
    try:
        from ._top.app import Top
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise UsageError("`prefork top` needs textual, which is not here: pip install 'prefork[top]'") from None
    Top(client).run()
