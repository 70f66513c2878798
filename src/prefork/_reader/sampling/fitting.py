"""Which stacks of a profile are kept: the most frequent ones, as far as there is room for them."""

from __future__ import annotations

import json
import resource
from collections import Counter

LONGEST = 8 << 20
"""Bytes of a profile, at most."""

_REST = 64 << 10
"""Bytes of the room that are left for what a profile says besides its stacks."""
_COUNT = 16
"""Bytes of a stack's count, with the signs around it."""

OTHERS = "(other stacks)"


def room() -> int:
    """Return how many bytes a profile may have: fewer in a file, for which the master has set a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return LONGEST if limit == resource.RLIM_INFINITY else min(LONGEST, limit)


def fitting(stacks: dict[str, int], room: int) -> dict[str, int]:
    """Return the most frequent stacks whose JSON fits in `room` bytes, and the others as one.

    A profile that was cut by its reader's limit would be no JSON, and lost.
    """
    kept: dict[str, int] = {}
    left = room - _REST
    for stack, count in Counter(stacks).most_common():
        left -= len(json.dumps(stack)) + _COUNT
        if left < 0:
            break
        kept[stack] = count
    others = sum(stacks.values()) - sum(kept.values())
    return kept | {OTHERS: others} if others else kept
