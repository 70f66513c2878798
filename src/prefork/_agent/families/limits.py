"""The limits of the daemon's control group: memory, and processor time that its quota held back."""

from __future__ import annotations

from ..._linux.cgroups.folders import UNIFIED, folders, lines
from .seen import Limits

_NO_LIMIT = 1 << 60
"""Version 1 has a number of this size, the largest of a page, where there is no limit."""

_FILES = {True: ("memory.current", "memory.max"), False: ("memory.usage_in_bytes", "memory.limit_in_bytes")}


def limits(proc: str = "/proc/self", root: str = "") -> Limits:
    """Return what the control group of this process uses and may use. `proc` and `root` are paths, for tests."""
    used, limit = _memory(proc, root)
    return Limits(used, limit, _throttled(proc, root))


def _memory(proc: str, root: str) -> tuple[int | None, int | None]:
    """Return the bytes that the own group uses, and the smallest limit of it and of those above it."""
    used: int | None = None
    limit: int | None = None
    for kind, folder in folders("memory", proc, root):
        now, most = (_number(f"{folder}/{name}") for name in _FILES[kind == UNIFIED])
        used = now if used is None else used
        if most is not None and most < _NO_LIMIT and (limit is None or most < limit):
            limit = most
    return used, limit


def _throttled(proc: str, root: str) -> float | None:
    for kind, folder in folders("cpu", proc, root):
        for line in lines(f"{folder}/cpu.stat"):
            name, _, value = line.partition(" ")
            if name == ("throttled_usec" if kind == UNIFIED else "throttled_time"):
                return int(value) / (1e6 if kind == UNIFIED else 1e9)
    return None


def _number(path: str) -> int | None:
    value = [*lines(path), ""][0].strip()
    return int(value) if value.isdecimal() else None  # "max" for no limit
