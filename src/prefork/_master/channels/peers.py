"""What the master knows of the other end of each of its channels: a mold, a newborn, or a spare or worker."""

from __future__ import annotations

import os
from collections import deque

from ..._records.members import field
from ..._records.record import entity
from .end import MasterEnd


@entity
class MoldPeer:
    """A mold."""

    generation: int
    pid: int
    channel: MasterEnd
    memory: int | None = None
    """Where it is to write the plan that it has been asked for; None where it owes none."""
    planned: bool = False
    batches: deque[Batch] = field(default_factory=deque)
    """The forks ordered and not ended, for each order."""
    unborn: set[NewbornPeer] = field(default_factory=set)
    """Forks ordered in any batch that are not spares yet."""

    def forget_memory(self) -> None:
        """Note that no plan is owed any more."""
        if self.memory is not None:
            os.close(self.memory)
            self.memory = None


@entity
class Batch:
    """Forks that a mold has been ordered, in one order."""

    newborns: list[NewbornPeer] = field(default_factory=list)
    failed: int = 0
    """Channels that ended before the batch did."""
    reason: str = ""
    ended: bool = False
    """The mold has reaped the intermediate: what was forked is a child of the master."""


@entity
class NewbornPeer:
    """A process that a mold is to fork, or has forked, and that is no spare yet."""

    mold: MoldPeer
    batch: Batch
    channel: MasterEnd
    pid: int | None = None


@entity
class WorkerPeer:
    """A spare or a worker."""

    pid: int
    channel: MasterEnd
    reports: int = 0


Peer = MoldPeer | NewbornPeer | WorkerPeer
