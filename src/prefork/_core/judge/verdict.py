"""The verdict on new workers of one kind, by what they and the old ones have counted in the same time.

More errors: the test says that it is chance once in 10,000 times or less, and a thousandth of the requests more fail.
Slower: the 95th percentile is more than twice that of the old ones, the test says so of the requests beyond that, and
most parts of the time show it. So a pause of one process, which makes many of its requests slow at once, is no verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..._records.record import record
from .statistics import chance

if TYPE_CHECKING:
    from .counts import Counts, Sample

Outcome = Literal["good", "worse", "insufficient"]

CHANCE = 1e-4
"""Of a false alarm, at one look and of one figure. A bake has eight looks, so that it is below 1 in 500 in all."""
MARGIN = 0.001
"""Share of the requests by which more must fail: with millions of requests, less would be significant."""
FACTOR, LEAST = 2.0, 0.001
"""The p95 is too high above this multiple of that of the old ones, and by as many seconds."""
PART = 10
"""Requests of the new workers in a part of the time that shows anything."""


@record
class Verdict:
    """What a comparison has found, with its figures in a sentence."""

    outcome: Outcome
    text: str


def compare(window: Sample, least: int, steady: bool) -> Verdict:
    """Return the verdict; "insufficient" where a side has fewer than `least` requests.

    `steady`: most parts of the time show what the whole shows of the latency.
    """
    new, old = window.new, window.old
    text = f"{window.kind}: {_figures(new)}; old workers: {_figures(old)}"
    if min(new.requests, old.requests) < least:
        return Verdict("insufficient", f"{text}; {least} requests of each are needed")
    if _fails_more(new, old):
        return Verdict("worse", f"more errors: {text}")
    if steady and _is_slower(new, old):
        return Verdict("worse", f"slower: {text}")
    return Verdict("good", text)


def slow_part(part: Sample, window: Sample) -> bool | None:
    """Return whether the new workers were too slow in one part of the time; None if it has too few requests."""
    if part.new.requests < PART:
        return None
    old = part.old if part.old.requests >= PART else window.old
    return part.new.percentile(95) > _limit(old)


def _fails_more(new: Counts, old: Counts) -> bool:
    more = new.errors / new.requests - old.errors / old.requests if new.requests and old.requests else 0.0
    return more >= MARGIN and chance((new.errors, new.requests), (old.errors, old.requests)) < CHANCE


def _is_slower(new: Counts, old: Counts) -> bool:
    limit = _limit(old)
    return new.percentile(95) > limit and chance(new.slower(limit), old.slower(limit)) < CHANCE


def _limit(old: Counts) -> float:
    usual = old.percentile(95)
    return max(FACTOR * usual, usual + LEAST)


def _figures(counts: Counts) -> str:
    share = 100 * counts.errors / counts.requests if counts.requests else 0.0
    failed = f"{counts.errors:,} of {counts.requests:,} requests failed ({share:.3g} %)"
    return f"{failed}, p95 {1000 * counts.percentile(95):.3g} ms" if counts.requests else failed
