"""The program of a mold.

Its command is `python -m prefork._mold.program CHANNEL LAUNCH LIFELINE SCOREBOARD STACKS METRICS AGREEMENT`.

All but the last one are descriptors.

Only a master starts it. It is not the module `mold` itself, since as `__main__` that would be a second copy, in which
`own` is not set.
"""
# ruff: noqa: E402 - The collector is off while modules are imported.

import gc
import sys

gc.disable()  # Until the application is imported: collections find nothing in these modules.

from prefork._errors import UsageError

# First of all, for the heap's order: no worker uses these, and among what workers use they cost each of them 60 kB.
from prefork._mold.stock import shared  # noqa: F401

# isort: split
from prefork._mold.leave import leave
from prefork._mold.mold import take_over
from prefork._wire.messages import MalformedMessage


def main() -> int:
    """Be a mold; return the exit status."""
    try:
        mold = take_over(sys.argv[1:])
    except UsageError:
        return 2  # The master has the reason.
    except (ValueError, OSError, MalformedMessage) as error:
        print(f"prefork: only a master can start a mold; use `prefork run` ({error})", file=sys.stderr)
        return 2
    gc.enable()
    try:
        return mold.run()
    except SystemExit as end:  # The mold has served, and the application's blocks of code are left.
        return int(end.code or 0)


if __name__ == "__main__":
    # A child that multiprocessing spawns, or starts by a fork server, runs its parent's main module again, but for one
    # of this name. It needs nothing of this one, which would cost it 50 ms, and its collector.
    __spec__.name = "prefork._mold.__main__"
    leave(main())
