"""The descriptors that this process has open."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress


def close_on_exec(kept: Collection[int] = ()) -> None:
    """Make every descriptor close-on-exec but the standard streams and those in `kept`.

    The process may have been started with inheritable ones, and the program may have made others inheritable.
    """
    for descriptor in _others(kept):
        with suppress(OSError):  # EBADF: the descriptor through which the directory was listed.
            if os.get_inheritable(descriptor):
                os.set_inheritable(descriptor, False)


def close_others(kept: Collection[int]) -> None:
    """Close every descriptor but the standard streams and those in `kept`.

    Not by os.closerange(), which tries two thousand million numbers where close_range(2) is denied or unknown.
    """
    for descriptor in _others(kept):
        with suppress(OSError):
            os.close(descriptor)


def _others(kept: Collection[int]) -> list[int]:
    numbers = map(int, os.listdir("/proc/self/fd"))
    return [number for number in numbers if number > 2 and number not in kept]
