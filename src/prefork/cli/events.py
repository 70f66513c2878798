"""What has happened, and why: of the whole daemon, or of one slot."""

from __future__ import annotations

import time
from typing import Any

import click

from .._report.sentences import sentence, subject
from .._report.units import counted, duration
from ..client import Client, Event
from ._daemon import slots, steers, tell
from ._words import moment, mood, with_user_names


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on.")
@steers
def events(client: Client, as_json: bool, follow: bool) -> None:
    """Show what has happened lately, oldest first."""
    for event in client.events(follow):
        if as_json:
            tell(event)
        else:
            _say(event, subject(event))


@click.command()
@click.argument("slot", shell_complete=slots)
@steers
def explain(client: Client, as_json: bool, slot: str) -> None:
    """Tell the recent history of a slot: when its worker was replaced, why, and by whom."""
    found = client.explain(slot)
    if as_json:
        tell(found)
        return
    click.secho(f"{slot}: {present(found)}", bold=True)
    for event in found["events"]:
        _say(event)


def present(found: dict[str, Any]) -> str:
    """Return what a slot is at this moment."""
    slot, now = found["slot"], found["time"]
    if slot is None:
        return "no longer wanted, and gone"
    text = str(slot["state"])
    if slot["pid"]:
        text += f", pid {slot['pid']}, generation {slot['generation']}, for {duration(now - slot['since'])}"
    if slot["retry_at"] is not None:
        text += f", tried again in {duration(slot['retry_at'] - now)}"
    text += f"; {counted(slot['restarts'], 'restart')}"
    return text + (f"; the last one {slot['last_exit']}" if slot["last_exit"] else "")


def _say(event: Event, about: str = "") -> None:
    """Print one event; an application's report below it."""
    first, *report = with_user_names(sentence(event)).split("\n")
    when = moment(event["time"], time.time()) if "time" in event else "-"
    line = [click.style(when, dim=True), *([f"{about:12}"] if about else []), _coloured(event, first)]
    click.echo("  ".join(line))
    for more in report:
        click.echo(f"    {more}")


def _coloured(event: Event, text: str) -> str:
    return click.style(text, fg={"good": "green", "bad": "red", "plain": None}[mood(event)])
