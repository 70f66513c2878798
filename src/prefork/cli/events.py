"""The commands that show events: of the whole daemon, or of one slot."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from .._report.sentences import sentence, subject, tone
from .._report.units import counted, duration
from ..client import Client, Event
from ._daemon import daemon_argument, print_json, reading_command, slots
from ._say import say
from ._words import moment, with_user_names


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Keep printing new events until the daemon ends.")
@daemon_argument
@reading_command
def events(client: Client, as_json: bool, follow: bool) -> None:
    """Show recent events, oldest first."""
    for event in client.events(follow):
        if as_json:
            print_json(event)
        else:
            _print_event(event, subject(event))


@click.command()
@click.argument("slot", shell_complete=slots)
@reading_command
def explain(client: Client, as_json: bool, slot: str) -> None:
    """Show the history of a slot: when and why it was restarted."""
    found = client.explain(slot)
    if as_json:
        print_json(found)
        return
    say(f"{slot}: {present(found)}", bold=True)
    for event in found["events"]:
        _print_event(event)


def present(found: Mapping[str, Any]) -> str:
    """Describe the present state of a slot."""
    slot, now = found["slot"], found["time"]
    if slot is None:
        return "removed from the plan; its worker has ended"
    text = str(slot["state"])
    if slot["pid"]:
        text += f", pid {slot['pid']}, generation {slot['generation']}, for {duration(now - slot['since'])}"
    if slot["retry_at"] is not None:
        text += f", next try in {duration(slot['retry_at'] - now)}"
    text += f"; {counted(slot['restarts'], 'restart')}"
    return text + (f", last exit: {slot['last_exit']}" if slot["last_exit"] else "")


def _print_event(event: Event, about: str = "") -> None:
    """Print one event, with the traceback or report that belongs to it below."""
    first, *report = with_user_names(sentence(event)).split("\n")
    when = moment(event["time"], time.time()) if "time" in event else "-"
    line = [click.style(when, dim=True), *([f"{about:12}"] if about else []), _coloured(event, first)]
    say("  ".join(line))
    for more in report:
        say(f"    {more}")


def _coloured(event: Event, text: str) -> str:
    return click.style(text, fg={"good": "green", "bad": "red", "plain": None}[tone(event)])
