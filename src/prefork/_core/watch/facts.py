"""Facts from the hang watch; like all others they are events of `events.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..._records.record import record

if TYPE_CHECKING:
    from .verdicts import Hang


class HangFact:
    """A fact from the hang watch."""

    __slots__ = ()


@record
class WorkerHung(HangFact):
    """A worker was busy without progress for longer than its kind's `hang_timeout`, and has been inspected.

    `report` is the text for the log. `over`: it made progress while it was inspected.
    """

    NAME: ClassVar = "hung"

    pid: int
    verdict: str
    hang: Hang
    report: str
    over: bool = False


@record
class WorkerStuck(HangFact):
    """A request of a worker made no progress for its kind's `hang_timeout`, while other threads of it were free.

    `report` is the text for the log.
    """

    NAME: ClassVar = "stuck"

    pid: int
    verdict: str
    hang: Hang
    report: str


@record
class WorkerStopped(HangFact):
    """A worker was stopped by a signal; it counts as hung after `patience` seconds (0: never)."""

    NAME: ClassVar = "stopped"

    pid: int
    signal: int
    patience: float


@record
class WorkerContinued(HangFact):
    """A stopped worker runs again."""

    NAME: ClassVar = "continued"

    pid: int


@record
class WorkerStarved(HangFact):
    """A worker made no progress for `seconds`, longer than its kind's `hang_timeout`, because it was starved of CPU."""

    NAME: ClassVar = "starved"

    pid: int
    seconds: float


@record
class MachineSlept(HangFact):
    """The master did not run for `seconds`: the machine was asleep, or the master was stopped or starved of CPU."""

    NAME: ClassVar = "suspended"

    seconds: float
