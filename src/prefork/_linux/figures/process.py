"""CPU time, the wait for it, and memory of a process; for commands and the agent, never for the master."""

from __future__ import annotations

import os

from .. import proc_stat

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float | None:
    """Return the CPU time of a process in seconds; None if it cannot be read."""
    found = proc_stat.fields(pid)
    return (int(found[proc_stat.USER]) + int(found[proc_stat.SYSTEM])) / _TICKS if found else None


def waited(pid: int) -> float | None:
    """Return for how long a process's main thread was ready to run and had no processor, in seconds (sched-stats).

    None if it cannot be read.
    """
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return None


def memory(pid: int) -> dict[str, int] | None:
    """Return the `private` and the `shared` memory of a process in bytes; None if it cannot be read."""
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
