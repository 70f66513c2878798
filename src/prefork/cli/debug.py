"""What goes on inside workers: their stacks, and what was known of those that crashed."""

from __future__ import annotations

import time
from typing import Any

import click

from .._report.hang_report import SENTENCES
from .._report.units import duration
from ..client import Client
from ._daemon import slots, steers, tell
from ._words import moment


@click.command()
@click.argument("slot", required=False, shell_complete=slots)
@click.option("--force", is_flag=True, help="Also where a worker does not answer. This may end it.")
@steers
def stacks(client: Client, as_json: bool, slot: str | None, force: bool) -> None:
    """Show where the threads and tasks of a slot's workers are, or of all workers."""
    for found in client.stacks(slot, force):
        if as_json:
            tell(found)
            continue
        said: Any = found["verdict"]
        for_ = f" for {duration(found['busy_for'])}" if found["busy_for"] else ""
        head = f"{found['slot']} (pid {found['pid']}, generation {found['generation']}): {said}{for_}"
        click.secho(f"{head}: {SENTENCES.get(said, '')}", bold=True)
        if found["doing"]:
            click.echo(f"  it is doing: {found['doing']}")
        click.echo(found["text"])


@click.command()
@click.argument("number", type=int, required=False)
@steers
def crashes(client: Client, as_json: bool, number: int | None) -> None:
    """List the last crash reports, or show one of them."""
    if number is not None:
        crash = client.crash(number)
        if as_json:
            tell(crash)
        else:
            _show(crash)
        return
    for crash in client.crashes():
        if as_json:
            tell(crash)
        else:
            click.echo(f"{crash['number']:>5}  {_headline(crash)}")


def _headline(crash: dict[str, Any]) -> str:
    doing = f", while doing {crash['doing']}" if crash["doing"] else ""
    who = f"{crash['slot']} (pid {crash['pid']}, generation {crash['generation']})"
    return f"{moment(crash['time'], time.time())}  {who} {crash['reason']}{doing}"


def _show(crash: dict[str, Any]) -> None:
    click.secho(_headline(crash), bold=True)
    usage = crash["usage"]
    if usage["memory"] is not None:
        times = f"{usage['user']:.2f} s of processor time, and {usage['system']:.2f} s in the kernel"
        click.echo(f"it has used {times}; at most {usage['memory'] / 1e6:.1f} MB were in memory")
    for title, text in ("its own words", crash["failure"]), ("how it hung", crash["hang"]):
        if text:
            click.secho(f"{title}:", dim=True)
            click.echo(text)
    if crash["output"]:
        click.secho("what it wrote last:", dim=True)
        for line in crash["output"]:
            click.echo(f"  {line}")
