"""The bake of a judged reload, for `prefork status`: what is compared, until when, and the figures so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..judge.bake import since

if TYPE_CHECKING:
    from ..judge.bake import Bake
    from ..judge.counts import Counts


def bake_view(bake: Bake) -> dict[str, Any]:
    """Return it as plain data. Times are of the events' clock, None before the canaries are ready."""
    until = bake.latest if bake.held else bake.end
    return {
        "canaries": list(bake.keys),
        "begun": bake.begun,
        "until": None if bake.begun is None else until,
        "settling": bake.rules.settling,
        "least": bake.rules.least,
        "held": bake.held,
        "figures": [
            {"pool": window.kind, "new": _figures(window.new), "old": _figures(window.old)}
            for window in [since(sample, bake.first) for sample in bake.last]
        ],
    }


def _figures(counts: Counts) -> dict[str, Any]:
    """Return what was counted; `p95` in seconds."""
    return {"requests": counts.requests, "errors": counts.errors, "p95": round(counts.percentile(95), 6)}
