"""The descriptors that this process has open."""

from __future__ import annotations

import os
from collections.abc import Collection


def close_on_exec(kept: Collection[int] = ()) -> None:
    """Make every descriptor close-on-exec but the standard streams and those in `kept`.

    The process may have been started with inheritable ones, and the program may have made others inheritable.
    """
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            if descriptor > 2 and descriptor not in kept and os.get_inheritable(descriptor):
                os.set_inheritable(descriptor, False)
        except OSError:
            pass  # EBADF: the descriptor through which the directory was listed.
