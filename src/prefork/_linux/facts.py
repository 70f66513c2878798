"""What a master's `nursery.Nursery` has read, as plain facts. Processes are named by pid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .wire import Json


@dataclass(frozen=True, slots=True)
class MoldPlanned:
    """The mold computed a plan and can breed."""

    mold: int
    plan: Json
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MoldFailed:
    """The application failed in the mold, which goes on waiting for orders after a replan and else ends."""

    mold: int
    step: str
    text: str


@dataclass(frozen=True, slots=True)
class SpareBorn:
    """A process is the master's child, waits for an order, and can be watched and reaped from now on."""

    mold: int
    pid: int


@dataclass(frozen=True, slots=True)
class BirthsFailed:
    """So many of the births ordered from this mold will not come."""

    mold: int
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class MoldSilent:
    """Nothing more will be heard of this mold: end of file, or it broke the protocol (`reason` says how).

    Births that were still under way have been refused, and told as `BirthsFailed` before this.
    """

    mold: int
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The worker can do its work."""

    pid: int


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """The worker's function raised; its exit with status 1 follows."""

    pid: int
    text: str


@dataclass(frozen=True, slots=True)
class ProcessSilent:
    """Nothing more will be heard of this spare or worker: end of file, or it broke the protocol.

    It comes in any order with the process's exit, and of a spare that closes its channel it need not mean one.
    """

    pid: int
    reason: str


Fact = (
    MoldPlanned
    | MoldFailed
    | SpareBorn
    | BirthsFailed
    | MoldSilent
    | WorkerReady
    | WorkerFailed
    | ProcessSilent
)
