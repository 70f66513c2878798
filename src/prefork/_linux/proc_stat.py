"""/proc/PID/stat: a process's state, CPU time and start; proc(5)."""

from __future__ import annotations

STATE, USER, SYSTEM, START = 0, 11, 12, 19
"""Positions in `fields`: a letter; clock ticks of CPU time; clock ticks from boot to the process's start."""


def started_at(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if there is none, or it is a zombie."""
    found = fields(pid)  # Empty, too, if no descriptor is free.
    return None if not found or found[STATE] in (b"Z", b"X") else int(found[START])


def fields(pid: int) -> list[bytes]:
    """Return the fields after the name, which may contain spaces; empty if the process is gone or cannot be read."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []
