"""What is read in a dialog: a slot's history, and its stacks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rich.text import Text

from ..._report.hang_report import SENTENCES
from ..._report.sentences import sentence, span
from .._words import moment, mood, people
from ..events import present
from .palette import DIM, GREEN, RED, TEXT

COLOURS = {"good": GREEN, "bad": RED, "plain": TEXT}


def explained(found: dict[str, Any]) -> Text:
    """Return what a slot is now, and what happened to it, an application's reports included."""
    text = Text().append(f"{present(found)}\n\n", "bold")
    for event in found["events"]:
        first, *report = people(sentence(event)).split("\n")
        text.append(moment(event["time"], time.time()) if "time" in event else "-", DIM)
        text.append(f"  {plain(first)}\n", COLOURS[mood(event)])
        for line in report:
            text.append(f"    {plain(line)}\n", DIM)
    return text


def stacks(workers: Iterable[dict[str, Any]]) -> Text:
    """Return where the threads of these workers are."""
    text = Text()
    for found in workers:
        for_ = f" for {span(found['busy_for'])}" if found["busy_for"] else ""
        verdict: Any = found["verdict"]
        text.append(f"pid {found['pid']}: {verdict}{for_}: {SENTENCES.get(verdict, '')}\n", "bold")
        if found["doing"]:
            text.append(f"it is doing: {plain(found['doing'])}\n", TEXT)
        for line in found["text"].splitlines():
            text.append(f"{plain(line)}\n", DIM)
        text.append("\n")
    return text


def plain(text: str) -> str:
    """Return a line without what a terminal would take for an order."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
