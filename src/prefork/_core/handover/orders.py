"""Orders of a supervisor that hands over; like all others they are actions of `actions.py`."""

from __future__ import annotations

from ..._records.record import record


@record
class ReplaceProgram:
    """Replace the master's program by the one that is installed now; the reply has the number `asker`, 0 for none."""

    asker: int


@record
class CancelUpgrade:
    """Do not replace the program any more: the daemon stops."""


@record
class AdoptWorker:
    """Make a worker of a dead master a worker of this one: give it a channel, and watch its end."""

    pid: int
    generation: int
    key: str
