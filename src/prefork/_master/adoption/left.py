"""Whether a master that was killed has left workers. Only then is imported what adopts them: few starts need it.

The start may import late, since its program's files are still those of this start; an upgrade may not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..listeners.inherited import Given
from . import notes

if TYPE_CHECKING:
    from ..._wire.launch import MasterLaunch
    from ..runtime.presence import Runtime
    from .found import Found


def left(launch: MasterLaunch, runtime: Runtime, log: Callable[[str], object]) -> Found | None:
    """Return what can be adopted; None for nothing. Logs why not, if there are workers of a master that was killed."""
    if survivors := runtime.roster.survivors():
        from .found import found

        given = Given(launch.sockets.numbers, launch.sockets.names)
        if (adopted := found(launch, runtime, (survivors, given), log)) is not None:
            return adopted
    notes.clear(runtime.path)  # This master writes its own, and a later one must not find these.
    return None
