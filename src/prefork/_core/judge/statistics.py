"""One-sided exact test: can the events that one side has more be chance?"""

from __future__ import annotations

from math import exp, lgamma

_NEGLIGIBLE = 1e-12
"""Share of the sum so far below which no further term is added; each is smaller than the one before."""


def chance(new: tuple[int, int], old: tuple[int, int]) -> float:
    """Return the probability that, if both sides were alike, the new one had as many events as it has, or more.

    Each side: events, and of how many. It is Fisher's exact test: all events are fixed, and the hypergeometric
    distribution says how many fall on the new side (R. A. Fisher, The Design of Experiments, 1935).
    """
    (events, of), (others, others_of) = new, old
    every, whole = events + others, of + others_of
    if events == 0 or events * whole <= every * of:
        return 1.0
    log = _choices(of, events) + _choices(others_of, others) - _choices(whole, every)
    term = total = exp(min(0.0, log))
    while events < min(every, of) and term > total * _NEGLIGIBLE:
        term *= (of - events) * (every - events) / ((events + 1) * (others_of - every + events + 1))
        events += 1
        total += term
    return min(1.0, total)


def _choices(of: int, some: int) -> float:
    """Return the logarithm of the number of ways to choose `some` of `of`."""
    return lgamma(of + 1) - lgamma(some + 1) - lgamma(of - some + 1)
