"""The judgement of a status: whether each slot is served, and would be again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .units import counted


def judge(status: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether a daemon is ready, and why, in a sentence; `status`: see docs/control.md.

    A slot that is exchanged by a command, one whose worker has finished for good, and an auxiliary one need no worker.
    """
    slots = [slot for slot in status["slots"] if not slot.get("auxiliary")]
    served = ("finished", "leaving")
    unserved = [each for each in slots if not (each["serving"] or each["exchanging"] or each["state"] in served)]
    mold = next((mold for mold in status["molds"] if mold["generation"] == status["generation"]), None)
    stuck = "" if mold is None or status["stopping"] else _stuck(mold)
    ok = bool(slots) and not unserved and not status["stopping"] and not stuck
    if status["stopping"]:
        text = "the daemon is stopping"
    elif not slots:
        text = "no plan yet: the application is still being imported"
    else:
        text = ", ".join(
            f"{slot['key']} {slot['state']}" + (f" ({slot['last_exit']})" if slot["last_exit"] else "")
            for slot in unserved
        )
    text = "; ".join(filter(None, [text, stuck]))
    return ok, text or f"{counted(len(slots), 'slot')} served"


def _stuck(mold: dict[str, Any]) -> str:
    """Return why a mold replaces no worker that ends; empty if it does."""
    if mold["failures"] > 1 and mold["state"] in ("importing", "warming", "ending", "paused"):
        what, count = "cannot be started", mold["failures"]
    elif mold["failed_forks"] > 1 and not mold["spares"]:
        what, count = "cannot fork", mold["failed_forks"]
    else:
        return ""
    why = f"{count} failures in a row, the last one: {mold['reason']}"
    return f"mold of generation {mold['generation']} {what} ({why}): workers that end are not replaced"
