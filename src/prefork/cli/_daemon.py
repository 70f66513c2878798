"""What commands for running daemons share: name, `--json`, exit codes.

0: done; 1: failed, with the reason; 2: usage error; 3: no such daemon runs; 130: interrupted, the daemon continues.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from .._client.search import search
from .._errors import CommandFailedError, PreforkError, UsageError, exit_with
from .._linux.proc_stat import fields
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
    def command(name: str | None, as_json: bool, daemon: str | None = None, **options: Any) -> None:
        with errors_as(as_json):
            client = chosen(name, daemon, reads=reads)
            function(client, as_json=as_json, **options)
            sys.stdout.flush()

    return command


def chosen(name: str | None, daemon: str | None, *, reads: bool = False) -> Client:
    """Return the client of the daemon that a command is for: the one of `-n`, or of its argument.

    What is to be known of it goes to standard error. Raises as `choice`; UsageError for two names.
    """
    if name is not None and daemon is not None:
        raise UsageError(f"two daemons are named, {daemon} and by -n {name}: name one")
    found = choice(name if daemon is None else daemon, reads=reads)
    one = found.daemon
    if found.elsewhere:
        where = f" in {one.directory}" if one.directory else ""
        say(printable(f"prefork: no daemon runs in this directory; this is {one.name}{where}"), err=True)
    if not (one.answers or one.refused):
        say(f"prefork: the daemon in {printable(one.place)} does not answer yet; waiting{_stopped(one.pid)}", err=True)
    return found.client


def _stopped(pid: int) -> str:
    """Return what a master that was stopped by a signal needs; nothing for another."""
    is_stopped = pid and fields(pid)[:1] == [b"T"]
    return f": its master is stopped by a signal, and goes on after `kill -CONT {pid}`" if is_stopped else ""


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


def daemon_argument(function: F) -> F:
    """Add an argument that says the same as `-n`, for a command without another one."""
    return click.argument("daemon", metavar="[NAME]", required=False, shell_complete=_names)(function)


def print_json(message: Mapping[str, Any]) -> None:
    """Print one object on one line."""
    print(json.dumps(message, separators=(",", ":")), flush=True)


def slots(context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete the key of a slot."""
    return [key for slot in _status(context)["slots"] if (key := slot["key"]).startswith(typed)]


def pools(context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete the name of a pool."""
    return [name for pool in _status(context)["pools"] if (name := pool["pool"]).startswith(typed)]


def _status(context: click.Context) -> Mapping[str, Any]:
    try:
        return connect(context.params.get("name")).status(timeout=1.0)
    except PreforkError:
        return {"slots": [], "pools": []}


def _names(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Complete the name of a daemon."""
    return [found.name for found in search(os.environ) if not found.refused and found.name.startswith(typed)]
