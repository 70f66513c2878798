"""The commands for debugging workers: their stacks, and reports of those that crashed."""

from __future__ import annotations

import time
from typing import Any

import click

from .._report.folding import blamed
from .._report.reports.hang_report import SENTENCES
from .._report.units import duration
from ..client import Client, Crash
from ._daemon import daemon_argument, daemon_command, print_json, reading_command, refuse_for_hooks, slots
from ._say import say
from ._words import moment

_IMPORTING = "the import of the application has not returned"
_NO_REPORTS = "a program with hooks writes no crash reports: use its log, which has each end, or `prefork explain SLOT`"


@click.command()
@click.argument("slot", required=False, shell_complete=slots)
@click.option("--force", is_flag=True, help="Dump unresponsive workers too; may crash them.")
@daemon_command
def stacks(client: Client, as_json: bool, slot: str | None, force: bool) -> None:
    """Show the stacks of a slot's workers, or of all workers.

    They include threads and asyncio tasks. Healthy workers are not disturbed.
    """
    for found in client.stacks(slot, force):
        if as_json:
            print_json(found)
            continue
        verdict: Any = found["verdict"]
        for_ = f" for {duration(found['busy_for'])}" if found["busy_for"] else ""
        head = f"{found['slot']} (pid {found['pid']}, generation {found['generation']}): {verdict}{for_}"
        say(f"{head}: {SENTENCES.get(verdict, _IMPORTING)}", bold=True)
        if found["doing"]:
            say(f"  request: {found['doing']}")
        say(found["text"])


def _number(context: click.Context, _parameter: click.Parameter, value: int | None) -> int | None:
    """Return the number of a report, also where it is the only argument."""
    if value is None and (context.params.get("daemon") or "").isdecimal():
        value, context.params["daemon"] = int(context.params["daemon"]), None
    return value


@click.command()
@daemon_argument
@click.argument("number", type=int, required=False, callback=_number)
@reading_command
def crashes(client: Client, as_json: bool, number: int | None) -> None:
    """List recent crash reports, or show the one with NUMBER. A single argument that is a number is NUMBER."""
    if number is not None:
        crash = client.crash(number)
        if as_json:
            print_json(crash)
        else:
            _show(crash)
        return
    found = client.crashes()
    if not found:
        refuse_for_hooks(client, _NO_REPORTS)
    if not (found or as_json):
        say("no crash reports", err=True)
    for crash in found:
        if as_json:
            print_json(crash)
        else:
            say(f"{crash['number']:>5}  {_headline(crash)}")
    requests = (crash["doing"].partition(" (the latest of ")[0] for crash in found)
    if (most := blamed(requests, len(found))) and not as_json:
        say(most)


def _headline(crash: Crash) -> str:
    doing = f", during {crash['doing']}" if crash["doing"] else ""
    worker = f"{crash['slot']} (pid {crash['pid']}, generation {crash['generation']})"
    return f"{moment(crash['time'], time.time())}  {worker} {crash['reason']}{doing}"


def _show(crash: Crash) -> None:
    say(_headline(crash), bold=True)
    usage = crash["usage"]
    if usage["memory"] is not None:
        times = f"{usage['user']:.2f} s user, {usage['system']:.2f} s system"
        say(f"CPU time: {times}; peak memory: {usage['memory'] / 1e6:.1f} MB")
    for title, text in ("error", crash["failure"]), ("hang report", crash["hang"]):
        if text:
            say(f"{title}:", dim=True)
            say(text)
    if crash["output"]:
        say("last output:", dim=True)
        for line in crash["output"]:
            say(f"  {line}")
