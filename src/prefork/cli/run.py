"""`prefork run`: read the options, and become the master."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import click

from .._errors import PreforkError, exit_with
from .._launch.inherited import sockets
from .._launch.served.launch import start
from .._launch.served.surroundings import ACTIVATED, entered, here
from .._options.table import Settings, resolve
from ._options import SectionedCommand, from_table


@click.command(cls=SectionedCommand, short_help="Run an application, a Daemon or a function in workers.")
@from_table
def run(given: dict[str, Any]) -> None:
    """Run TARGET: an ASGI or WSGI application, a factory of one, a Daemon, or a worker's function.

    TARGET is MODULE:NAME, path/to/file.py:NAME, or either without a NAME: then `daemon`, `app`, `application` and
    `create_app()` are tried. Without TARGET, that of prefork.toml, or of [tool.prefork] in pyproject.toml, is run.
    Each option can also be given there (drain_timeout = 10) and by a variable (PREFORK_DRAIN_TIMEOUT=10).
    """
    started = monotonic()
    with refusing():
        given, settings = _with_activated(given, resolve(given, os.environ, entered(given)))
        start(given, settings, started)


def _with_activated(given: dict[str, Any], settings: Settings) -> tuple[dict[str, Any], Settings]:
    """Return the options; several activated sockets are all served where no address is given."""
    numbers = sorted(number for found in sockets(dict(os.environ)).names.values() for number in found)
    if len(numbers) < 2 or settings.given("bind"):
        return given, settings
    given = {**given, "bind": tuple(f"fd://{number}" for number in numbers)}
    resolved = resolve(given, os.environ, here())
    return given, replace(resolved, sources={**resolved.sources, "bind": ACTIVATED})


@contextmanager
def refusing() -> Iterator[None]:
    """End the command with one line and its exit status where something is wrong."""
    try:
        yield
    except PreforkError as error:
        exit_with(error)
