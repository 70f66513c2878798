"""Actions: orders in the imperative, the output of a decider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .._records.record import record
from .handover.orders import AdoptWorker, CancelUpgrade, ReplaceProgram
from .judge.counts import Measure as Measure

if TYPE_CHECKING:
    from .plan import Listener

Stage = Literal["planning", "rolling", "settled", "baking", "done", "failed"]


@record
class Watch:
    """Report when this child ends, and reap it."""

    pid: int


@record
class SendSignal:
    """Send a signal, by name (`TERM`), to a child that has not been reaped."""

    pid: int
    name: str


@record
class Report:
    """Log one block of text.

    `about` is its subject: the fact being handled, or the change whose outcome is announced with it.
    """

    text: str
    about: Literal["fact"] | Announce | None = None


@record
class Exit:
    """Leave the loop. It is the last action."""

    status: int


# From here on: the actions of the supervisor of a `Daemon`. The contract is at the head of `supervisor.py`.


@record
class StartMold:
    """Start the process that imports the application and computes the plan of this generation.

    `warm`: it may warm the application up; its warming has failed otherwise.
    """

    generation: int
    warm: bool = True


@record
class PlanAgain:
    """Have the mold compute the plan again, without importing anything."""

    generation: int


@record
class EndMold:
    """End the mold of this generation now; the executor kills it if it does not exit."""

    generation: int


@record
class ForgetGeneration:
    """Discard the encoded contexts of this generation: no order of it follows."""

    generation: int


@record
class ForgetContexts:
    """Discard the encoded contexts of this generation that are not `named`, by key and digest: no order needs them."""

    generation: int
    named: frozenset[tuple[str, str]]


@record
class ForkSpares:
    """Have the mold fork `count` processes that wait for an order: one batch, one intermediate."""

    generation: int
    count: int


@record
class DismissSpare:
    """End a spare that is not needed."""

    pid: int


@record
class OrderWorker:
    """Make a spare the worker of a slot; `why`: the reason, for the record."""

    pid: int
    generation: int
    key: str
    digest: str
    listeners: tuple[Listener, ...]
    why: str = ""


@record
class SpawnWorker:
    """Start the worker of a slot by exec, in an interpreter of its own; `why`: the reason, for the record."""

    generation: int
    key: str
    digest: str
    listeners: tuple[Listener, ...]
    why: str = ""


@record
class AskToDrain:
    """Ask a worker to finish its requests, accept nothing new, and exit; `why`: the reason, for the record.

    `backlogs`: its listeners whose backlog no other worker takes over. It accepts what waits there before it exits.
    """

    pid: int
    backlogs: tuple[Listener, ...] = ()
    why: str = ""


@record
class KillWorker:
    """Kill the whole session of a worker; `why` is what follows "killed by the master: ".

    `explain`: log its stacks before, if they are to be had within moments.
    """

    pid: int
    why: str
    explain: bool = False


@record
class DrainBacklogs:
    """Have a worker that already drains accept these backlogs, too: the successor for them will not come."""

    pid: int
    listeners: tuple[Listener, ...]


@record
class CutDrain:
    """Have a worker that drains end now, in order: it is killed in `seconds`."""

    pid: int
    seconds: float


@record
class ForgetSlot:
    """Discard what is kept for the next process of this slot: the slot is gone."""

    key: str


@record
class Bind:
    """Open these listeners in addition: all of them, or none."""

    generation: int
    listeners: tuple[Listener, ...]


@record
class Unbind:
    """Let no new connection come to these listeners: no later order names them; workers that have them drain."""

    listeners: tuple[Listener, ...]


@record
class DrainOrphan:
    """Ask a worker of a dead master to drain."""

    pid: int


@record
class KillOrphan:
    """Kill the whole session of a worker of a dead master."""

    pid: int


@record
class ReopenLogs:
    """Open the log files again, by name: they have been rotated."""


@record
class ReportStacks:
    """Log the stacks of all workers."""


@record
class Reply:
    """Send the client whose command has this id the outcome; `data` is for programs."""

    id: int
    ok: bool
    text: str
    data: Any = None


@record
class Announce:
    """Announce the progress of a change to observers.

    `what` is start, reload, replan, restart, preview, scale, upgrade or stop. `settled`: one `slot` has reached its
    target, and `left` slots have not. `baking`: the first workers of a judged reload serve, and are compared. Each
    change that is announced ends as done or failed.
    """

    what: str
    stage: Stage
    generation: int = 0
    slot: str = ""
    left: int = 0
    text: str = ""
    pool: str = ""


DaemonAction = (
    StartMold
    | PlanAgain
    | EndMold
    | ForgetGeneration
    | ForgetContexts
    | ForkSpares
    | DismissSpare
    | OrderWorker
    | SpawnWorker
    | AskToDrain
    | KillWorker
    | DrainBacklogs
    | CutDrain
    | ForgetSlot
    | Bind
    | Unbind
    | Measure
    | DrainOrphan
    | KillOrphan
    | ReopenLogs
    | ReportStacks
    | ReplaceProgram
    | CancelUpgrade
    | AdoptWorker
    | Reply
    | Announce
)

Action = Watch | SendSignal | Report | Exit | DaemonAction
