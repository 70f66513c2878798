"""A simulated daemon: what the real core decides for a plan, on a virtual clock, in a world that a script describes.

`simulate` takes no time and starts no process, so that a test can ask what happens in an hour, or when the third
worker of a rollout never becomes ready.
"""

from .script import (
    Step,
    crash,
    crash_loop,
    drains,
    hang,
    heal,
    import_fails,
    ready_after,
    reload,
    replan,
    restart,
    scale,
    stop,
)
from .simulation import Simulation, simulate
from .world import Times

__all__ = [
    "Simulation",
    "Step",
    "Times",
    "crash",
    "crash_loop",
    "drains",
    "hang",
    "heal",
    "import_fails",
    "ready_after",
    "reload",
    "replan",
    "restart",
    "scale",
    "simulate",
    "stop",
]
