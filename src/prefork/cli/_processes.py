"""A worker in /proc, for commands; None for what cannot be read."""

from __future__ import annotations

import os

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float | None:
    """Return the seconds of processor time that a process has used."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> dict[str, int] | None:
    """Return the bytes that a process has to itself (`private`), and those that it shares (`shared`)."""
    sizes = {"private": 0, "shared": 0}
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                name, _, rest = line.partition(b":")
                if name in (b"Private_Clean", b"Private_Dirty", b"Shared_Clean", b"Shared_Dirty"):
                    sizes[name.partition(b"_")[0].lower().decode()] += int(rest.split()[0]) * 1024
    except OSError:
        return None
    return sizes
