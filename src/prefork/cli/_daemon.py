"""What all commands that talk to a running daemon share: which daemon it is, `--json`, and how they end.

0: reached; 1: not, with the reason; 2: wrong usage; 3: no such daemon runs; 130: interrupted, and the daemon goes on.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from .._errors import NotRunningError, PreforkError, UsageError
from ..client import connect


def steers(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function of a client: it gets `client` and `as_json`, and its errors get their exit codes."""

    @click.option("-n", "--name", help="The daemon's name, or its runtime directory.", shell_complete=names)
    @click.option("--json", "as_json", is_flag=True, help="For programs: JSON, one object a line.")
    @functools.wraps(function)
    def command(name: str | None, as_json: bool, **options: Any) -> None:
        try:
            function(connect(name), as_json=as_json, **options)
            sys.stdout.flush()
        except PreforkError as error:
            if as_json:
                tell({"ok": False, "text": str(error)})
            else:
                click.echo(f"prefork: {error}", err=True)
            sys.exit(exit_code(error))

    return command


def exit_code(error: PreforkError) -> int:
    """Return how a command ends that has met this."""
    return 2 if isinstance(error, UsageError) else 3 if isinstance(error, NotRunningError) else 1


def tell(message: dict[str, Any]) -> None:
    """Print one object for a program."""
    print(json.dumps(message, separators=(",", ":")), flush=True)


def slots(context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete the name of a slot."""
    return [key for slot in _status(context)["slots"] if (key := slot["key"]).startswith(typed)]


def pools(context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete the name of a pool."""
    return [kind for pool in _status(context)["pools"] if (kind := pool["kind"]).startswith(typed)]


def _status(context: click.Context) -> dict[str, Any]:
    try:
        return connect(context.params.get("name")).status(timeout=1.0)
    except PreforkError:
        return {"slots": [], "pools": []}


def names(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete the name of a daemon."""
    from ..client import running

    return [name for name in map(os.path.basename, running()) if name.startswith(typed)]
