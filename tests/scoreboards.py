"""The scoreboard of a daemon that a test or a benchmark has started."""

from __future__ import annotations

import os

from prefork._wire.scoreboard import NAME, Scoreboard


def attach(master: int) -> Scoreboard:
    """Map the scoreboard that the process `master` has open, to read it."""
    directory = f"/proc/{master}/fd"
    for name in os.listdir(directory):
        if os.readlink(f"{directory}/{name}").startswith(f"/memfd:{NAME} "):
            descriptor = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return Scoreboard(descriptor, writable=False)
            finally:
                os.close(descriptor)
    raise AssertionError(f"process {master} has no scoreboard")
