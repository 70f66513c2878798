"""The folders of this process's control groups, from its own up to the top (cgroups(7))."""

from __future__ import annotations

from collections.abc import Iterator

from .groups import groups

UNIFIED, LEGACY = "cgroup2", "cgroup"
"""The kinds of file systems: version 2, and version 1 with a hierarchy for some controllers each."""


def folders(controller: str, proc: str = "/proc/self", root: str = "") -> Iterator[tuple[str, str]]:
    """Yield the kind and the folder of each group that may limit what this controller counts.

    `proc` and `root` are paths, for tests.
    """
    for kind, mount, relative in _groups(controller, proc):
        parts = [part for part in relative.split("/") if part]
        for depth in range(len(parts), -1, -1):
            yield kind, root + "/".join([mount, *parts[:depth]])


def lines(path: str) -> list[str]:
    """Return the lines of a file; none where there is no such file, or it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:  # No such group, or no control groups at all.
        return []


def _groups(controller: str, proc: str) -> Iterator[tuple[str, str, str]]:
    """Yield the kind of file system, its mount point, and the path of this process's group in it."""
    paths = {}
    for controllers, path in groups(f"{proc}/cgroup"):
        if not controllers or controller in controllers:
            paths[LEGACY if controllers else UNIFIED] = path
    for line in lines(f"{proc}/mountinfo"):
        head, _, tail = line.partition(" - ")
        kind, *more = tail.split(" ")
        if kind in paths and (kind == UNIFIED or controller in more[-1].split(",")):
            top, mount = head.split(" ")[3:5]
            # In a container without a namespace of its own the mount shows a subtree, and the path is the host's.
            path = paths[kind]
            yield kind, mount, path.removeprefix(top) if top != "/" else path
