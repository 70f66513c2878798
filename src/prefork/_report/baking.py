"""The bake of a judged reload in words, of what a status has of it (docs/control.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .units import duration, precise_duration


def lines(change: Mapping[str, Any] | None, now: float) -> list[str]:
    """Return the bake of a change that is under way, a line each; `now` is in seconds since 1970."""
    bake = (change or {}).get("bake")
    if not change or not bake:
        return []
    keys = ", ".join(bake["canaries"])
    if bake["begun"] is None:
        return [f"judge: waits for {keys} of generation {change['to']}"]
    left = duration(max(0.0, bake["until"] - now))
    if bake["held"]:
        first = (
            f"judge: held, since there are too few requests; {keys} of generation {change['to']}, at most {left} more"
        )
    else:
        first = f"judge: {keys} of generation {change['to']} beside the others, {left} left"
    return [first, *(f"judge: {_compared(one, bake['least'])}" for one in bake["figures"])]


def short(change: Mapping[str, Any], now: float) -> str:
    """Return it in few words: what is left of the time, and failed requests and p95 of new and old workers."""
    bake = change.get("bake")
    if not bake or bake["begun"] is None:
        return str(change["stage"])
    left = f"{'held' if bake['held'] else 'baking'} g{change['to']}, {duration(max(0.0, bake['until'] - now))} left"
    shown = [
        f"{one['pool']} new {_share(one['new'])} {_p95(one['new'])}, old {_share(one['old'])} {_p95(one['old'])}"
        for one in bake["figures"]
        if one["new"]["requests"]
    ]
    return "; ".join([left, *shown])


def _compared(one: Mapping[str, Any], least: int) -> str:
    few = min(one["new"]["requests"], one["old"]["requests"]) < least
    needed = f"; {least} requests of each are needed" if few else ""
    return f"{one['pool']}: {_side(one['new'])}; old workers: {_side(one['old'])}{needed}"


def _side(counts: Mapping[str, Any]) -> str:
    failed = f"{counts['errors']:,} of {counts['requests']:,} requests failed ({_share(counts)})"
    return f"{failed}, p95 {_p95(counts)}" if counts["requests"] else failed


def _share(counts: Mapping[str, Any]) -> str:
    return f"{100 * counts['errors'] / counts['requests'] if counts['requests'] else 0.0:.3g} %"


def _p95(counts: Mapping[str, Any]) -> str:
    return precise_duration(counts["p95"])
