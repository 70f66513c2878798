"""How many processors this process may use, by affinity and control group."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

from .._linux.cgroups.folders import UNIFIED, folders, lines


def usable(proc: str = "/proc/self", root: str = "") -> int:
    """Return the number, at least 1: a quota of one and a half processors counts as two.

    `proc` and `root` are paths, for tests.
    """
    count = float(len(os.sched_getaffinity(0)))
    for quota in _quotas(proc, root):
        count = min(count, quota)
    return max(1, math.ceil(count))


def _quotas(proc: str, root: str) -> Iterator[float]:
    """Yield every limit from this process's control group up to the top, in processors."""
    for kind, folder in folders("cpu", proc, root):
        quota = _unified(folder) if kind == UNIFIED else _legacy(folder)
        if quota is not None:
            yield quota


def _unified(folder: str) -> float | None:
    (line, *_) = [*lines(f"{folder}/cpu.max"), "max"]
    quota, _, period = line.partition(" ")
    return int(quota) / int(period or 100000) if quota.isdecimal() else None


def _legacy(folder: str) -> float | None:
    quota = [*lines(f"{folder}/cpu.cfs_quota_us"), "-1"][0]
    period = [*lines(f"{folder}/cpu.cfs_period_us"), "100000"][0]
    return int(quota) / int(period) if quota.isdecimal() else None  # -1 for none
