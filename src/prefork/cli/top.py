"""`prefork top`: a full-screen page that shows what a daemon does."""

from __future__ import annotations

import os
import sys

import click

from .._errors import PreforkError, UsageError, exit_with
from ..client import Client
from ._daemon import chosen, daemon_argument, name_option, refuse_for_hooks


@click.command()
@daemon_argument
@name_option
def top(name: str | None, daemon: str | None) -> None:
    """Watch and control a running daemon on a full-screen page."""
    try:
        _show(chosen(name, daemon))
    except PreforkError as error:
        exit_with(error)


def _show(client: Client) -> None:
    """Show the page until the user leaves it. Raises UsageError without a terminal, and without textual."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise UsageError("`prefork top` needs a terminal; use `prefork status` instead")
    try:
        from ._top.app import Top
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise UsageError("`prefork top` needs textual, which is not installed: pip install 'prefork[top]'") from None
    refuse_for_hooks(client, "a program with hooks has no scoreboard, which `prefork top` shows: use `prefork status`")
    Top(client).run()
