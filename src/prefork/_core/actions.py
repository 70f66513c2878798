"""Actions: orders in the imperative, the output of a decider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .plan import Listener

Stage = Literal["planning", "rolling", "settled", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Watch:
    """Tell me when this child ends, and reap it."""

    pid: int


@dataclass(frozen=True, slots=True)
class SendSignal:
    """Send a signal, by name (`TERM`), to a child that has not been reaped."""

    pid: int
    name: str


@dataclass(frozen=True, slots=True)
class Report:
    """Log one block of text.

    `about` is its subject: the fact that is being handled, or the change whose outcome is announced with it.
    """

    text: str
    about: Literal["fact"] | Announce | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """Leave the loop; nothing comes after it."""

    status: int


# From here on: what the supervisor of a `Daemon` asks for. The contract is at the head of `supervisor.py`.


@dataclass(frozen=True, slots=True)
class StartMold:
    """Start the process that imports the application and computes the plan of this generation."""

    generation: int


@dataclass(frozen=True, slots=True)
class PlanAgain:
    """Have the mold compute the plan again, without importing anything."""

    generation: int


@dataclass(frozen=True, slots=True)
class EndMold:
    """End the mold of this generation now, by force if need be; nothing that it still does is wanted."""

    generation: int


@dataclass(frozen=True, slots=True)
class ForgetGeneration:
    """No order of this generation will follow: its encoded contexts may go."""

    generation: int


@dataclass(frozen=True, slots=True)
class ForgetContexts:
    """Of this generation's encoded contexts no order will name others than these, by key and digest: they may go."""

    generation: int
    named: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ForkSpares:
    """Have the mold fork so many processes that will wait for an order: one batch, one intermediate."""

    generation: int
    count: int


@dataclass(frozen=True, slots=True)
class DismissSpare:
    """End a process that waits for an order and will not get one."""

    pid: int


@dataclass(frozen=True, slots=True)
class OrderWorker:
    """Make a spare the worker of a slot; `why`, in words, for the record."""

    pid: int
    generation: int
    key: str
    digest: str
    listeners: tuple[Listener, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class SpawnWorker:
    """Start the worker of a slot by exec, in an interpreter of its own; `why`, in words, for the record."""

    generation: int
    key: str
    digest: str
    listeners: tuple[Listener, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class AskToDrain:
    """Ask a worker to finish what is in flight, take nothing new, and exit; `why`, in words, for the record.

    `abandoned`: those of its listeners whose queue nobody takes over. It accepts what waits there before it goes.
    """

    pid: int
    abandoned: tuple[Listener, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class KillWorker:
    """Kill the whole session of a worker; `why` follows "killed by the master: "."""

    pid: int
    why: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Tell a worker that drains already: the successor that was to take over these queues will not come."""

    pid: int
    listeners: tuple[Listener, ...]


@dataclass(frozen=True, slots=True)
class ForgetSlot:
    """No process lives in this slot and none is wanted there: what was kept for the next one may go."""

    key: str


@dataclass(frozen=True, slots=True)
class Bind:
    """Open these listeners beside those that are open: all of them, or none."""

    generation: int
    listeners: tuple[Listener, ...]


@dataclass(frozen=True, slots=True)
class Unbind:
    """Let nothing new come to these listeners: no later order names them, and whoever has them is on the way out."""

    listeners: tuple[Listener, ...]


@dataclass(frozen=True, slots=True)
class ReopenLogs:
    """Open the log files anew, by name: they have been rotated."""


@dataclass(frozen=True, slots=True)
class ReportStacks:
    """Say where all workers are, in the log."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Tell whoever gave the command of this id how it ended; `data` is what a program may want to know of it."""

    id: int
    ok: bool
    text: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell whoever watches how far a target has come.

    `what` is start, reload, replan, restart, preview, scale or stop. `settled` says that one `slot` is as
    wished; `left` is how many are not yet. Each target that was announced is sooner or later done or failed.
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
    | Abandon
    | ForgetSlot
    | Bind
    | Unbind
    | ReopenLogs
    | ReportStacks
    | Reply
    | Announce
)

Action = Watch | SendSignal | Report | Exit | DaemonAction
