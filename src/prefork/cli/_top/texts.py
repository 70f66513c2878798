"""The texts of dialogs: a slot's history, and its stacks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.text import Text

from ..._report.reports.hang_report import SENTENCES
from ..._report.sentences import sentence, tone
from ..._report.units import duration
from ..._wire.printable import printable
from .._words import moment, with_user_names
from ..events import present
from .palette import DIM, GREEN, RED, TEXT

COLOURS = {"good": GREEN, "bad": RED, "plain": TEXT}


def explained(found: Mapping[str, Any]) -> Text:
    """Return the state of a slot and its recent events, with the tracebacks that belong to them."""
    text = Text().append(f"{present(found)}\n\n", "bold")
    for event in found["events"]:
        first, *report = with_user_names(sentence(event)).split("\n")
        text.append(moment(event["time"], time.time()) if "time" in event else "-", DIM)
        text.append(f"  {printable(first)}\n", COLOURS[tone(event)])
        for line in report:
            text.append(f"    {printable(line)}\n", DIM)
    return text


def stacks(workers: Iterable[dict[str, Any]]) -> Text:
    """Return the stacks of these workers."""
    text = Text()
    for found in workers:
        for_ = f" for {duration(found['busy_for'])}" if found["busy_for"] else ""
        verdict: Any = found["verdict"]
        text.append(f"pid {found['pid']}: {verdict}{for_}: {SENTENCES.get(verdict, '')}\n", "bold")
        if found["doing"]:
            text.append(f"request: {printable(found['doing'])}\n", TEXT)
        for line in found["text"].splitlines():
            text.append(f"{printable(line)}\n", DIM)
        text.append("\n")
    return text
