"""Conditions on the status of a daemon, as a test writes them: `4/4 ready`, `web/1 waiting`, `generation 2`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..._errors import UsageError

Status = Mapping[str, Any]
Condition = Callable[[Status], bool]

_STATES = ("starting", "ready", "draining", "killed", "waiting", "leaving", "finished", "degraded")
_READY = re.compile(r"(?:(\S+) )?(\d+)/(\d+) ready")
_GENERATION = re.compile(r"generation (\d+)")
_SLOT = re.compile(rf"(\S+) ({'|'.join(_STATES)})")


def parse(text: str) -> Condition:
    """Return the condition that a text is: one, or several with commas between. Raises UsageError."""
    conditions = [_one(part.strip(), text) for part in text.split(",")]
    return lambda status: all(condition(status) for condition in conditions)


def _one(text: str, whole: str) -> Condition:
    if match := _READY.fullmatch(text):
        pool, ready, wanted = match[1], int(match[2]), int(match[3])
        return lambda status: counts(status, pool) == (ready, wanted)
    if match := _GENERATION.fullmatch(text):
        number = int(match[1])
        return lambda status: status["generation"] == number and not _changing(status)
    if text == "settled":
        return lambda status: not _changing(status) and not any(slot["leaving"] for slot in status["slots"])
    if match := _SLOT.fullmatch(text):
        key, state = match[1], match[2]
        return lambda status: any(slot["key"] == key and slot["state"] == state for slot in status["slots"])
    raise UsageError(
        f"wait_for({whole!r}): {text!r} is no condition: give '4/4 ready', 'web 4/4 ready', 'web/1 ready' "
        f"(or another state: {', '.join(_STATES)}), 'generation 2', 'settled', or a function of the status"
    )


def counts(status: Status, pool: str | None = None) -> tuple[int, int]:
    """Return how many slots have a ready worker, and how many there are; of all pools of the service, or of one."""
    slots = [slot for slot in status["slots"] if (not slot["auxiliary"] if pool is None else slot["kind"] == pool)]
    return sum(1 for slot in slots if slot["serving"]), len(slots)


def in_words(status: Status) -> str:
    """Return the state of a daemon, for an error."""
    ready, wanted = counts(status)
    changes: Sequence[Mapping[str, Any]] = [*([status["change"]] if status["change"] else []), *status["queue"]]
    parts = [f"{ready}/{wanted} ready, generation {status['generation']}"]
    parts += [f"{change['what']} to generation {change['to']} is {change['stage']}" for change in changes]
    for slot in status["slots"]:
        if slot["state"] != "ready":
            last = f" (last exit: {slot['last_exit']})" if slot["last_exit"] else ""
            parts.append(f"{slot['key']} is {slot['state']}{last}")
        if slot["leaving"]:
            parts.append(f"{slot['key']} has {len(slot['leaving'])} that leave")
    return "; ".join(parts)


def _changing(status: Status) -> bool:
    return bool(status["change"] or status["queue"])
