"""The command that shows where workers spend their time: `prefork profile`."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from .._errors import SystemFailure, UsageError
from .._wire.printable import printable
from ..client import Client, Profile
from ._daemon import daemon_command, print_json, slots
from ._profile.page import about, page
from ._profile.tree import shares
from ._say import say

_ROWS = 10
_STANDARD_OUTPUT = "-"


@click.command()
@click.argument("which", metavar="SLOT|POOL", required=False, shell_complete=slots)
@click.option("--seconds", type=click.FloatRange(1, 600), default=10, help="Seconds of samples (default: 10).")
@click.option("--rate", type=click.IntRange(1, 1000), default=100, help="Samples a second (default: 100).")
@click.option(
    "--kept", metavar="NUMBER", type=int, help="A profile that was taken by itself, by its number in the log."
)
@click.option("--idle", is_flag=True, help="Count threads that wait, too.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="File for the flame graph (*.html) or, with any other ending, for collapsed stacks; -: standard output.",
)
@daemon_command
def profile(
    client: Client, as_json: bool, which: str | None, output: str | None, kept: int | None, **sampling: Any
) -> None:
    """Show where the worker of a slot, or all workers of a pool, spend their time.

    Samples are taken from outside: workers are neither stopped nor changed. Writes a flame graph, one HTML file.
    """
    if (which is None) == (kept is None):
        raise UsageError("name a slot or a pool, or with --kept a profile that was taken by itself")
    if which is None:
        assert kept is not None
        found, which = client.kept_profile(kept), f"kept-{kept}"
    else:
        if not as_json and output != _STANDARD_OUTPUT:
            say(f"prefork: taking samples of {which} for {sampling['seconds']:g} s", err=True)
        found = client.profile(which, sampling["seconds"], sampling["rate"], sampling["idle"])
    if as_json:
        print_json(found)
        return
    name = output or f"profile-{which.replace('/', '-')}.html"
    _write(name, _text(found, name, which))
    if name != _STANDARD_OUTPUT:
        _summarise(found)
        say(f"written to {name}")


def _text(found: Profile, name: str, which: str) -> str:
    if name.endswith((".html", ".htm")):
        return page(found, f"{which}, {time.strftime('%Y-%m-%d %H:%M:%S')}")
    return "".join(f"{printable(stack)} {count}\n" for stack, count in found["stacks"].items())


def _write(name: str, text: str) -> None:
    if name == _STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    try:
        with open(name, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise SystemFailure(f"cannot write {name}: {error.strerror}; --output names another file") from None


def _summarise(found: Profile) -> None:
    """Print how the profile was taken, and the functions with most samples."""
    say(about(found), bold=True)
    total = sum(found["stacks"].values())
    if not total:
        say("no thread of a worker ran: it waited all the time; --idle shows where")
        return
    say("  itself  with calls  function")
    for share in shares(found["stacks"])[:_ROWS]:
        place = os.path.relpath(share.function.place) if share.function.kind == "own" else share.function.place
        alone, with_calls = 100 * share.alone / total, 100 * share.with_calls / total
        say(printable(f"{alone:7.1f}% {with_calls:10.1f}%  {share.function.name} ({place})"))
