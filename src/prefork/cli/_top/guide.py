"""The page of `?`: what the columns and the keys of the page are."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from .palette import DIM, TEXT

COLUMNS: Mapping[str, str] = {
    "SLOT": "key of the slot; └ is a process that leaves it",
    "STATE": "state of the process",
    "PID": "its process id",
    "GEN": "the generation of its code, in the generation's colour",
    "AGE": "time since it has had this state; ↻ is the time until the next start",
    "REQUESTS": "requests of the slot's workers, ended workers included",
    "ERRORS": "requests of these that failed",
    "REQ/S": "requests of the last second, and a bar for each of the last 16",
    "LATENCY": "mean duration of the requests that ended in the last second",
    "P95": "95 of 100 requests of the last 10 s took no longer",
    "P99": "99 of 100 requests of the last 10 s took no longer",
    "OPEN": "open connections of the process",
    "BUSY": "requests in flight",
    "NOW DOING": "request that began last; before it the time without an end of any, from 1 s on",
    "CPU%": "share of one processor",
    "PRIV": "private memory: what the process shares with no other",
    "RST": "replacements of the slot's worker after an unplanned end",
    "LAST EXIT": "how the slot's last worker ended",
}
"""Heading -> what the column has."""

KEYS: Mapping[str, str] = {
    "r": "reload; if the new code fails, its error is shown",
    "s": "scale the selected slot's pool, or the only one",
    "k": "replace the selected slot's worker, the new one first",
    "e": "explain the selected slot: what happened to it, and why",
    "x": "the stacks of the selected slot's worker",
    "?": "this page",
    "q": "leave; the daemon runs on, and so does a command that was sent",
}
"""Key -> what it does."""


_REST = """\
A narrow terminal shows the most important columns. Band: a place for each slot.
Chart of latency: p95 of each second; its numbers, the time in the queue (queue p95,
from the proxy's X-Request-Start) and the share of 5xx by generation: the last ten
seconds. Beside an address: connections that wait to be accepted, of how many."""


def page() -> Text:
    """Return the text: columns, then keys."""
    text = Text()
    for table in COLUMNS, KEYS:
        for name, meaning in table.items():
            text.append(f"{name:11}", TEXT).append(f"{meaning}\n", DIM)
        text.append("\n")
    return text.append(_REST, DIM)
