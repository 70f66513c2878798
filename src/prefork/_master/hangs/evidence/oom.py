"""Out-of-memory kills, by the kernel's own counter."""

from __future__ import annotations

import os

from ...._linux.cgroups.groups import groups

_LONGEST = 4096
"""Bytes to read; the files have at most ten short lines."""


class OomCounter:
    """The counter of out-of-memory kills in this process's control group, if the kernel has one.

    `memory.events` of cgroup v2, `memory.oom_control` of v1 (Documentation/admin-guide/cgroup-v2.rst, "memory.events").
    """

    def __init__(self, root: str = "/sys/fs/cgroup", cgroups: str = "/proc/self/cgroup") -> None:
        self._file = _open_counter(_counters(root, cgroups))
        self._seen = self._count()

    def close(self) -> None:
        """Close the counter."""
        if self._file is not None:
            os.close(self._file)

    def grown(self) -> bool:
        """Return whether the kernel has killed a process for lack of memory since the last call."""
        count = self._count()
        grown = count > self._seen
        self._seen = count
        return grown

    def _count(self) -> int:
        # The file stays open and is read at once: the restart of a killed worker waits for this.
        return 0 if self._file is None else _kills(self._file) or 0


def _open_counter(paths: list[str]) -> int | None:
    for path in paths:
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        if _kills(file) is not None:
            return file
        os.close(file)
    return None


def _kills(file: int) -> int | None:
    """Return the counter's value; None if the file has no such counter."""
    lines = [line.split() for line in os.pread(file, _LONGEST, 0).splitlines()]
    return next((int(line[1]) for line in lines if len(line) == 2 and line[0] == b"oom_kill"), None)


def _counters(root: str, cgroups: str) -> list[str]:
    found = groups(cgroups)
    unified = [f"{root}{path}/memory.events" for controllers, path in found if not controllers]
    legacy = [f"{root}/memory{path}/memory.oom_control" for controllers, path in found if "memory" in controllers]
    return [*unified, *legacy]
