"""Slots and processes as short rows, and what has changed between two sets of them. Pure.

A row is a list, whose places `assets/workers.js` names: 200 workers are some 20 kB once, and then only what changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Rows = dict[str, list[Any]]


def of_slots(status: Mapping[str, Any], troubles: Mapping[int, str]) -> Rows:
    """Return a row for each slot, by its key. Times are in seconds since 1970.

    `troubles`: by pid, what is wrong with a worker that the master still holds for ready.
    """
    return {slot["key"]: _of_slot(slot, troubles.get(slot["pid"], slot["state"])) for slot in status["slots"]}


def _of_slot(slot: Mapping[str, Any], state: str) -> list[Any]:
    return [
        state,
        slot["pid"],
        slot["generation"],
        slot["since"],
        int(slot["serving"]),
        int(slot["exchanging"]),
        slot["restarts"],
        slot["failures"],
        slot["last_exit"],
        slot["retry_at"],
        slot["why"],
        [[old["pid"], old["state"], old["generation"], old["since"]] for old in slot["leaving"]],
        int(slot["auxiliary"]),
    ]


def changed(before: Rows, now: Rows) -> dict[str, list[Any] | None]:
    """Return the rows that are new or differ, and None for those that are gone."""
    rows: dict[str, list[Any] | None] = {key: row for key, row in now.items() if before.get(key) != row}
    return rows | dict.fromkeys(before.keys() - now.keys())
