"""How many processors this process may use, by affinity and control group."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

from .._linux.cgroup import groups

_UNIFIED = "cgroup2"


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
    for kind, mount, relative in _groups(proc):
        parts = [part for part in relative.split("/") if part]
        for depth in range(len(parts), -1, -1):
            folder = root + "/".join([mount, *parts[:depth]])
            quota = _unified(folder) if kind == _UNIFIED else _legacy(folder)
            if quota is not None:
                yield quota


def _groups(proc: str) -> Iterator[tuple[str, str, str]]:
    """Yield the groups that can limit the processors: the kind of file system, its mount point, and the path in it."""
    paths = {}
    for controllers, path in groups(f"{proc}/cgroup"):
        if not controllers or "cpu" in controllers:
            paths["cgroup" if controllers else _UNIFIED] = path
    for line in _lines(f"{proc}/mountinfo"):
        head, _, tail = line.partition(" - ")
        kind, *more = tail.split(" ")
        if kind in paths and (kind == _UNIFIED or "cpu" in more[-1].split(",")):
            top, mount = head.split(" ")[3:5]
            # In a container without a namespace of its own the mount shows a subtree, and the path is the host's.
            path = paths[kind]
            yield kind, mount, path.removeprefix(top) if top != "/" else path


def _unified(folder: str) -> float | None:
    (line, *_) = [*_lines(f"{folder}/cpu.max"), "max"]
    quota, _, period = line.partition(" ")
    return int(quota) / int(period or 100000) if quota.isdecimal() else None


def _legacy(folder: str) -> float | None:
    quota = [*_lines(f"{folder}/cpu.cfs_quota_us"), "-1"][0]
    period = [*_lines(f"{folder}/cpu.cfs_period_us"), "100000"][0]
    return int(quota) / int(period) if quota.isdecimal() else None  # -1 for none


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:  # No such group, or no control groups at all.
        return []
