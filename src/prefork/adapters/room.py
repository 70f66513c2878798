"""Whether a process has descriptors left for a connection, for servers that lose it, or spin, where there is none."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._worker.handle import Handle

_SPARE = 16
"""Descriptors that are left to the application while connections are open; an eighth of a low limit."""


class Room:
    """The descriptors of one worker."""

    def __init__(self, worker: Handle[Any]) -> None:
        self._worker = worker
        self._unchecked = 0

    def is_left(self) -> bool:
        """Return whether to accept one more connection; where not, print so once.

        A list of descriptors takes a while where there are thousands. So as many accepts as are half of those left are
        not checked; the other half is for what the application opens meanwhile.
        """
        if self._unchecked:
            self._unchecked -= 1
            return True
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            left = limit - len(os.listdir("/proc/self/fd"))
        except OSError:  # It takes one, too.
            left = 0
        if self._worker.activity.open:
            left -= min(_SPARE, limit // 8)
        if left > 0:
            self._unchecked = left // 2
            return True
        self._worker._report_no_room()
        return False
