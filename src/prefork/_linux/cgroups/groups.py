"""The control groups that this process is in (cgroups(7))."""

from __future__ import annotations


def groups(file: str = "/proc/self/cgroup") -> list[tuple[list[str], str]]:
    """Return, for each hierarchy, its controllers (none: version 2) and the path of this process's group in it.

    Empty where the kernel has no control groups. `file` is for tests.
    """
    try:
        with open(file, encoding="utf-8", errors="replace") as lines:
            entries = [line.rstrip("\n").split(":", 2) for line in lines]
    except OSError:
        return []
    return [(controllers.split(",") if controllers else [], path) for _, controllers, path in entries]
