"""Facts, in the past tense: everything that a decider can be told.

A class with `NAME` makes a record of that name, with its other fields, in the journal, the log and the control
protocol; `_report.sentences.EVENTS` has its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from .._records.members import field
from .._records.record import record
from .handover.facts import HandoverReport
from .judge.counts import Measured as Measured
from .watch.facts import HangFact as HangFact
from .watch.facts import MachineSlept as MachineSlept
from .watch.facts import WorkerContinued as WorkerContinued
from .watch.facts import WorkerHung as WorkerHung
from .watch.facts import WorkerStarved as WorkerStarved
from .watch.facts import WorkerStopped as WorkerStopped
from .watch.facts import WorkerStuck as WorkerStuck

if TYPE_CHECKING:
    from .commands import Command
    from .plan import Plan


@record
class Started:
    """The loop runs and signals are caught; said once, first."""

    NAME: ClassVar = "started"


@record
class SignalReceived:
    """A signal came. Several of one name since the last turn are one event.

    `terminal_gone`: it was a HUP and the terminal that the master was started on no longer exists.
    """

    NAME: ClassVar = "signal"

    name: str
    terminal_gone: bool = False


@record
class ProcessExit:
    """How one process ended: `status` as subprocess gives it, negative for the signal that killed it.

    None: unknown, since it was not a child of this process, or other code in this program has reaped it.
    `usage`: seconds in the program and in the kernel, and the most bytes that were in memory.
    """

    pid: int
    status: int | None
    usage: tuple[float, float, int] | None = field(default=None, compare=False)


@record
class ProcessesExited:
    """Watched processes ended and have been reaped; all those that the loop found in one turn."""

    exits: tuple[ProcessExit, ...]


@record
class ContextTaken:
    """A worker that was started by exec has decoded its context and starts to work."""

    pid: int


@record
class ContextRefused:
    """A worker that was started by exec could not decode its context and is about to exit 2."""

    pid: int
    reason: str


@record
class DeadlinePassed:
    """The moment that `Decider.next_deadline` named has come."""


# From here on: the events of the supervisor of a `Daemon`. The contract is at the head of `supervisor.py`.


@record
class OrphansFound:
    """Workers of a dead master run: their pids, and how many seconds the drain of each may last."""

    NAME: ClassVar = "orphans_found"

    drain_timeouts: Mapping[int, float]


@record
class OrphanEnded:
    """A worker of a dead master has ended, or cannot be signalled."""

    pid: int


@record
class MoldPlanned:
    """The mold of a generation has computed its plan, after its import or after `PlanAgain`.

    `about`: what the mold has found out about the application, for people.
    """

    NAME: ClassVar = "planned"

    generation: int
    plan: Plan
    about: Mapping[str, str] = field(default_factory=dict, compare=False)


class MoldFact:
    """A fact about a mold, besides its plans and forks."""

    __slots__ = ()


@record
class MoldFailed(MoldFact):
    """The mold could not import the application or compute its first plan, and is about to end."""

    NAME: ClassVar = "plan_failed"

    generation: int
    report: str


@record
class MoldWarming(MoldFact):
    """The mold of a generation warms the application up, for at most `seconds`; 0: it has ended, its plan follows."""

    generation: int
    seconds: float


@record
class WarmingFailed(MoldFact):
    """The warming of a mold cannot be used, and the mold is about to end: `report` says why."""

    NAME: ClassVar = "warming_failed"

    generation: int
    report: str


@record
class PlanFailed(MoldFact):
    """The mold could not compute the plan again; it keeps running."""

    NAME: ClassVar = "plan_failed"

    generation: int
    report: str


@record
class MoldEnded(MoldFact):
    """The mold of a generation has been reaped and its socket read to the end; `reason` in words."""

    NAME: ClassVar = "mold_ended"

    generation: int
    reason: str


@record
class SpareForked:
    """The mold has forked one of the processes it was ordered to, and the master has adopted it."""

    generation: int
    pid: int


@record
class ForkFailed(MoldFact):
    """The mold could not fork `count` of the processes it was ordered to."""

    NAME: ClassVar = "fork_failed"

    generation: int
    count: int
    reason: str


@record
class WorkerSpawned:
    """A worker with an interpreter of its own has been started by exec and given its order."""

    NAME: ClassVar = "spawned"

    generation: int
    key: str
    pid: int


@record
class SpawnFailed:
    """A worker with an interpreter of its own could not be started."""

    NAME: ClassVar = "spawn_failed"

    generation: int
    key: str
    reason: str


@record
class WorkerReady:
    """A worker has sent that it is ready."""

    NAME: ClassVar = "ready"

    pid: int


@record
class WorkerDrained:
    """A draining worker has finished its work; only its interpreter still has to exit."""

    pid: int


@record
class WorkerWornOut:
    """A worker has reached a limit of its kind, and serves until it has a successor; `reason` in words."""

    NAME: ClassVar = "worn_out"

    pid: int
    reason: str


@record
class WorkerFailed:
    """A worker is about to exit; `report` is the application's traceback."""

    NAME: ClassVar = "failed"

    pid: int
    report: str


@record
class WorkerEnded:
    """A spare or a worker has been reaped, and its session killed before; `status` as in `ProcessExit`.

    `worked`: it had connections or requests. `doing`: the latest request that was in flight when it ended.
    """

    NAME: ClassVar = "ended"

    pid: int
    status: int
    reason: str
    worked: bool = False
    doing: str = ""


@record
class ListenersBound:
    """All listeners of a `Bind` are open."""

    generation: int


@record
class BindFailed:
    """A listener of a `Bind` could not be opened; none of that `Bind` is left open."""

    generation: int
    report: str


@record
class CommandReceived:
    """A client, or a watcher of files, requests something; `id` is the number of its reply (0: no reply).

    `by`: the client, in words, for the record.
    """

    NAME: ClassVar = "command"

    id: int
    command: Command
    by: str = ""


MoldReport = MoldFailed | MoldWarming | WarmingFailed | PlanFailed | MoldEnded | ForkFailed

WorkerReport = WorkerReady | WorkerDrained | WorkerWornOut | WorkerFailed

OF_MESSAGE: Mapping[str, type[WorkerReport]] = {
    "Ready": WorkerReady,
    "Drained": WorkerDrained,
    "ReplacementRequested": WorkerWornOut,
    "Failed": WorkerFailed,
}
"""The message that a worker sends, by its class in `_wire.messages` -> the fact: its pid, then the message's fields."""

DaemonEvent = (
    OrphansFound
    | OrphanEnded
    | MoldPlanned
    | MoldReport
    | SpareForked
    | WorkerSpawned
    | SpawnFailed
    | WorkerReport
    | WorkerHung
    | WorkerStopped
    | WorkerContinued
    | WorkerStarved
    | WorkerStuck
    | MachineSlept
    | WorkerEnded
    | ListenersBound
    | BindFailed
    | Measured
    | CommandReceived
    | HandoverReport
)

Event = Started | SignalReceived | ProcessesExited | ContextTaken | ContextRefused | DeadlinePassed | DaemonEvent
