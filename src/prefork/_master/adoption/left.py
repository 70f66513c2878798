"""Whether a master that was killed has left workers, or anything in the manager's descriptor store.

Only then is imported what adopts them, since few starts need it. The start may import late, since its program's files
are still those of this start; an upgrade may not.
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
    """Return what can be adopted; None for nothing. Logs why not, if a master that was killed has left anything.

    Workers that live have it, or the service manager's store, or both. Raises OSError.
    """
    stored = None
    if launch.stored:
        from ..store.content import Stored

        stored = Stored(launch.stored)
        stored.put_back(runtime.path)
    if (survivors := runtime.roster.survivors()) or stored:
        from ..store.content import Stored
        from .found import found
        from .what import Left

        given = Given(launch.sockets.numbers, launch.sockets.names)
        what = Left(survivors, stored or Stored({}), given, launch.identity)
        if (adopted := found(launch, runtime, what, log)) is not None:
            return adopted
    notes.clear(runtime.path)  # This master writes its own, and a later one must not find these.
    return None
