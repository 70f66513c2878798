"""What commands for running daemons share: name, `--json`, exit codes.

0: done; 1: failed, with the reason; 2: usage error; 3: no such daemon runs; 130: interrupted, the daemon continues.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from .._client.search import search
from .._errors import CommandFailedError, PreforkError, exit_with
from .._wire.printable import printable
from ..client import Client, choice, connect
from ._say import say

F = TypeVar("F", bound=Callable[..., Any])


def daemon_command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function that takes `client` and `as_json`; its errors become messages and exit codes."""
    return _command(function, reads=False)


def reading_command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command that changes nothing: it may be for the only daemon of all, and says so if it is."""
    return _command(function, reads=True)


def _command(function: Callable[..., None], reads: bool) -> Callable[..., None]:
    @name_option
    @json_option
    @functools.wraps(function)
    def command(name: str | None, as_json: bool, **options: Any) -> None:
        with errors_as(as_json):
            chosen = choice(name, reads=reads)
            if (found := chosen.elsewhere) is not None:
                where = f" in {found.directory}" if found.directory else ""
                text = printable(f"no daemon runs in this directory; this is {found.name}{where}")
                say(f"prefork: {text}", err=True)
            function(chosen.client, as_json=as_json, **options)
            sys.stdout.flush()

    return command


def refuse_for_hooks(client: Client, text: str) -> None:
    """Raise CommandFailedError, with this reason, if the daemon is a program with hooks."""
    if client.hello().get("model") == "hooks":
        raise CommandFailedError(text)


@contextmanager
def errors_as(as_json: bool) -> Iterator[None]:
    """End the command with a message and its exit code where something fails."""
    try:
        yield
    except PreforkError as error:
        if not as_json:
            exit_with(error)
        print_json({"ok": False, "text": str(error)})
        sys.exit(error.exit_code)


def json_option(function: F) -> F:
    """Add `--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")(function)


def name_option(function: F) -> F:
    """Add `-n`, the daemon that a command is for."""
    text = "Name or runtime directory of the daemon (default: the one that was started in this directory)."
    return click.option("-n", "--name", metavar="NAME", help=text, shell_complete=_names)(function)


def print_json(message: dict[str, Any]) -> None:
    """Print one object on one line."""
    print(json.dumps(message, separators=(",", ":")), flush=True)


def slots(context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete the key of a slot."""
    return [key for slot in _status(context)["slots"] if (key := slot["key"]).startswith(typed)]


def pools(context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete the name of a pool."""
    return [name for pool in _status(context)["pools"] if (name := pool["pool"]).startswith(typed)]


def _status(context: click.Context) -> dict[str, Any]:
    try:
        return connect(context.params.get("name")).status(timeout=1.0)
    except PreforkError:
        return {"slots": [], "pools": []}


def _names(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete the name of a daemon."""
    return [found.name for found in search(os.environ) if not found.refused and found.name.startswith(typed)]
