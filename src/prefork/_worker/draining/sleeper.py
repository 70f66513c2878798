"""The sleep of a thread that has nothing to do but to wait for the end of its worker's drain."""

from __future__ import annotations

import math
import select
from typing import TYPE_CHECKING

from ..._linux import kernel
from .drain import LONGEST_POLL

if TYPE_CHECKING:
    from .drain import Drain


class Sleeper:
    """One thread's sleep, which ends when another one calls `wake`, or when the drain is to be cut.

    To be made before the drain, in which no descriptor may be left. Raises OSError.
    """

    def __init__(self, drain: Drain) -> None:
        self._drain = drain
        self._event = kernel.eventfd()

    def wake(self) -> None:
        """End the sleep, or the next one."""
        kernel.add_to_eventfd(self._event)

    def sleep(self, seconds: float) -> None:
        """Sleep for at most `seconds`, which may be infinity; not beyond `cut_at`, unless that has passed."""
        waiting = select.poll()
        waiting.register(self._event, select.POLLIN)
        if rest := self._drain.until_cut():
            seconds = min(seconds, rest)
            waiting.register(self._drain.cut_short, select.POLLIN)
            waiting.register(self._drain.waker, select.POLLIN)
        waiting.poll(min(math.ceil(seconds * 1000), LONGEST_POLL) if seconds < math.inf else None)
        kernel.read_eventfd(self._event)
        self._drain.poll()
