"""The descriptors that all processes of a daemon share with the master, and with each other."""

from __future__ import annotations

import os

from ..._linux import lifeline
from ..._wire.metrics import arena


class Shared:
    """The lifeline's read end, the scoreboard, the stacks, and the memory of application metrics. Raises OSError.

    `scoreboard` and `stacks` stay the caller's; the lifeline and the metrics are made here. `writer` is the lifeline's
    other end, which only the master holds.
    """

    def __init__(self, scoreboard: int, stacks: int) -> None:
        self.scoreboard, self.stacks = scoreboard, stacks
        self.metrics = arena.create()
        self.lifeline, self.writer = lifeline.create()

    def close(self) -> None:
        """Close what was made here."""
        for descriptor in self.metrics, self.lifeline, self.writer:
            os.close(descriptor)
