"""The messages between the master, a mold and the processes that the mold forks.

Each travels as one packet of a `channel.Channel`; a message that brings descriptors names them, in order. All are JSON
but the order, which only a newborn reads, and only from its master.

The master and a mold, over the socket that the mold was started with (`MoldLaunch` is in a sealed memfd; the lifeline
and the scoreboard come with it):

    mold    StepFailed(step="load")   unasked: the import failed, the mold ends
    master  ComputePlan               [memory for it, *files] at once, answered after the import; again for a replan
    mold    Warming(seconds)          it warms the application up, at most so long; Warming(0) when it has ended
    mold    Planned | StepFailed      to each; a failure before the first plan ends the mold
    master  Fork(count)               [a channel for each] only after Planned; the mold works off several in order
      intermediate  ForkFailed        the fork or what it needs failed; ends the batch
    mold    ForksEnded                the mold has reaped the intermediate: the master adopts what was forked
    master  end of file               the mold ends, in order

The master and a newborn, over the newborn's own channel:

    newborn Hello                     the kernel adds its pid (SCM_CREDENTIALS)
    master  Order                     [lifeline, *listeners, *files, *streams]: not before the master has adopted it
    worker  Ready                     at most once
    worker  ReplacementRequested      it has reached a limit, and serves on until it is asked to drain
    worker  Drained                   it has finished, and only its interpreter has still to end
    worker  Busy                      a request began while the master was not watching for hangs
    worker  StacksWritten             the answer to the master's signal (`stacks`)
    worker  Failed                    the function raised; the process is about to exit 1
    watcher Edited(at)                the application's code has changed
    master  DrainBacklogs             before a TERM: which backlogs the worker drains, since no other worker will
    master  CutDrain              during a drain, which is over now, and before a second signal
    master  end of file               before the order: the spare exits 0 and logs nothing; after it: nothing

A master and an orphan of another one, over a connection to the orphan's socket (`places.orphan_address`):

    master  HandOver                  answered by HandedOver [the descriptors], and the end
    master  Adopt                     over another connection, the worker's channel from then on: Ready comes again

A newborn becomes a spare when it has sent Hello and its mold has sent ForksEnded, in whichever order the two arrive.
Before that it is not yet the master's child: its getppid() names the intermediate, and an order would let it conclude
that its master is dead. A channel of a batch that ends without a Hello is a fork that has failed.

The master takes no descriptor from a peer: closing what it has chosen can take for ever (`_master.channels.rights`).
What orphans hand over reaches a child of the master, which passes on what it has recognised. So a message to the master
fits a packet; a plan does not, and is written to memory that the master has sent.

SIGTERM asks for the drain, and no message does, so that it means the same whichever process sends it; the master sends
a signal of prefork's own, too (`_linux.drain_request`). DrainBacklogs is in the worker's channel before the signals,
and the worker reads it after them. So is CutDrain, before the second signal of prefork's own.
"""

from __future__ import annotations

import json
import marshal
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal, TypeAlias, get_args

from .._records.members import field, fields, replace
from .._records.record import mutable, record

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Share: TypeAlias = Literal["freeze", "immortal", "none", ""]


WARMING = "warming"
"""The step of a StepFailed after which the mold is started again, without warming."""

LINE, MOST_TEXTS, LEFT_OUT = 500, 20, "[...]"
"""The most characters of a text that becomes part of a line, the most texts of a list, and what stands for the rest."""


class MalformedMessage(Exception):
    """The peer sent something that no honest peer sends; the receiver reads nothing more from it."""


@record
class MoldLaunch:
    """What the master passes to a mold at its start.

    `application` is `module:callable`; called with `arguments` it runs the application's program, which ends in
    `Mold.serve`. `argv` becomes `sys.argv` before that; `share` is a mode of `sharing.prepare`, or empty for the
    application's own. `alone`: it forks no process, and is itself the one worker whose order it reads. The titles are
    what ps shows for the mold and for its spares. `captured`: the master reads its standard streams. `warm`: it may
    warm the application up.
    """

    application: str
    arguments: Json
    generation: int
    title: str
    spare_title: str
    share: Share
    argv: tuple[str, ...]
    alone: bool
    captured: bool = False
    warm: bool = False


@record
class ComputePlan:
    """Compute the plan, for the first time or again. `files` names the descriptors that follow the memory for it."""

    files: tuple[str, ...] = ()


@record
class Fork:
    """Fork `count` newborns, with one intermediate process for all of them."""

    count: int


@record
class Warming:
    """The mold warms the application up for at most `seconds`, in which it reads nothing; 0: it has ended."""

    seconds: float


@record
class Planned:
    """The plan is in the memory that came with ComputePlan, `size` bytes of JSON.

    `warnings` are for the user. So is `lost`: what the import has started and a fork does not carry over.
    """

    size: int
    warnings: tuple[str, ...]
    lost: tuple[str, ...]


@record
class StepFailed:
    """The application failed in `step` (start, load, plan, on_reload, ...); `text` is its traceback."""

    step: str
    text: str


@record
class ForkFailed:
    """No further process of this batch could be forked."""

    reason: str


@record
class ForksEnded:
    """The intermediate of `ordered` forks has ended; `reason` says how, unless it exited 0."""

    ordered: int
    reason: str


@record
class Hello:
    """The sender leads a session of its own, holds no descriptor of the mold's, and waits for an order."""


@mutable  # Not frozen: that would be 15 pages more of each worker, by the way in which it sets fields.
class Order:
    """Be this worker.

    `context` is the encoded context, `listeners` names the descriptors that follow the lifeline, in order.
    `master` is the sender's pid. `orphan_grace` (seconds) is how long to serve without a master after its death: 0
    ends the process with it. `takeover_timeout` (seconds) is how long to serve beside later masters until one is ready.
    `own_queues` names the listeners that no process outside of the daemon holds. `exit_timeout` (seconds) bounds the
    interpreter's exit, and `finish_timeout` that of a worker whose function has returned but whose threads may still
    work. `explicit_ready` leaves it to the function to report readiness. `row` is the worker's in the scoreboard, -1
    for none. The worker replaces `{}` in `title` by its state. `captured`: six descriptors follow as the last. They
    are the worker's standard output and error, their ends for reading, and the streams that it uses without a master.
    `terms`: the values of `Terms` that the worker is to apply itself, since the master may not. `files` names the
    descriptors that follow the listeners: sealed memory with what the master has read there.
    """

    key: str
    generation: int
    context: Json
    master: int
    title: str
    listeners: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    explicit_ready: bool = False
    orphan_grace: float = 0.0
    exit_timeout: float = 10.0
    finish_timeout: float = 10.0
    row: int = -1
    captured: bool = False
    takeover_timeout: float = 0.0
    own_queues: tuple[str, ...] = ()
    terms: tuple[Any, ...] = ()
    files: tuple[str, ...] = ()


@record
class Ready:
    """The worker can do its work."""


@record
class ReplacementRequested:
    """The worker has reached a limit, or its function asks for a successor; `reason` says why."""

    reason: str


@record
class Drained:
    """The worker has drained and is about to exit."""


@record
class Busy:
    """A request began in the worker while the master was not watching for hangs."""


@record
class StacksWritten:
    """The worker has written its stacks into the shared memfd. `working`: the threads that have a request, if known."""

    working: tuple[int, ...] = ()


@record
class Edited:
    """Files of the application's code have changed, the last of them at this moment (time.time)."""

    at: float


@record
class Failed:
    """The worker's function raised; `text` is the traceback without prefork's own frames."""

    text: str


@record
class CutDrain:
    """You drain, and another worker of your slot does so, too: end in order now, since you are killed in `seconds`."""

    seconds: float


@record
class HandOver:
    """Send me those of these descriptors that you hold: each is `DEVICE:INODE`, as fstat(2) has them."""

    wanted: tuple[str, ...]


@record
class HandedOver:
    """These descriptors come with this, in order, by their names in `HandOver`."""

    found: tuple[str, ...]


@record
class Adopt:
    """You are this master's worker again, and this connection is your channel to it."""


@record
class DrainBacklogs:
    """No other worker will accept from these listeners (names): drain their backlogs before you end."""

    listeners: tuple[str, ...]


Message = (
    MoldLaunch
    | ComputePlan
    | Fork
    | Warming
    | Planned
    | StepFailed
    | ForkFailed
    | ForksEnded
    | Hello
    | Order
    | Ready
    | ReplacementRequested
    | Drained
    | Busy
    | StacksWritten
    | Failed
    | Edited
    | DrainBacklogs
    | CutDrain
    | HandOver
    | HandedOver
    | Adopt
)

_CLASSES: dict[str, type[Message]] = {cls.__name__: cls for cls in get_args(Message)}


# Made once, and in the mold: each page that a newborn writes to before its order becomes private memory.
_BARE = {cls: json.dumps({"message": cls.__name__}).encode() for cls in _CLASSES.values() if not fields(cls)}

_parts = attrgetter(*Order.__match_args__)


def encode(message: Message) -> bytes:
    """Return a message as one JSON object, its name and then its fields; an order as `decode_order` reads it."""
    if (bare := _BARE.get(type(message))) is not None:
        return bare
    if isinstance(message, Order):
        return marshal.dumps(_parts(message))
    # Not asdict(): it would copy a context of a megabyte, value by value.
    values = {each.name: getattr(message, each.name) for each in fields(message)}
    return json.dumps({"message": type(message).__name__, **values}, separators=(",", ":")).encode()


def decode(data: bytes) -> Message:
    """Return the message in `data`, every field present and of its declared type.

    Raises MalformedMessage for anything else: a root master reads what a mold without privileges has written.
    """
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise MalformedMessage("not an object")
    cls = _CLASSES.get(str(parsed.pop("message", None)))
    if cls is None:
        raise MalformedMessage("no such message")
    expected = {each.name: str(each.type) for each in fields(cls)}
    if parsed.keys() != expected.keys():
        raise MalformedMessage(f"{cls.__name__} has other fields")
    values: dict[str, Any] = {}
    for name, annotation in expected.items():
        if not _FITS[annotation](parsed[name]):
            raise MalformedMessage(f"{cls.__name__}.{name} is not {annotation}")
        values[name] = tuple(parsed[name]) if annotation.startswith("tuple") else parsed[name]
    return cls(**values)


def decode_order(data: bytes) -> Order:
    """Return the order in `data`, which the master has written: a newborn trusts it, and only newborns read orders.

    Not JSON, and not checked field by field: that would cost each worker a third of a megabyte of private memory, and
    time at its start. Raises MalformedMessage.
    """
    try:
        return Order(*marshal.loads(data))
    except (ValueError, EOFError, TypeError) as error:
        raise MalformedMessage(f"not an order: {error}") from None


def fitting(message: Message, most: int) -> bytes:
    """Return a message as `encode` does, its texts cut so far that it takes `most` bytes; of each its end is left."""
    data = encode(message)
    while len(data) > most:
        share = 0.9 * most / len(data)
        texts = {each.name: getattr(message, each.name) for each in fields(message)}
        message = replace(message, **{name: _cut(value, share) for name, value in texts.items()})
        data = encode(message)
    return data


def _cut(value: Any, share: float) -> Any:
    if isinstance(value, tuple):
        return tuple(_cut(each, share) for each in value[:MOST_TEXTS])
    if isinstance(value, str) and len(value) > LINE:
        return LEFT_OUT + value[-int(len(value) * share) :]
    return value


def _is_number(value: object) -> bool:
    """Return whether it is a finite number and no bool; infinity would be a deadline that never comes."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63


# Keyed by the annotation as written above: a field of another type fails in every test until it is added.
_FITS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "float": _is_number,
    "Share": lambda value: value in get_args(Share),
    "Json": lambda value: True,
    "tuple[str, ...]": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "tuple[int, ...]": lambda value: isinstance(value, list) and all(type(each) is int for each in value),
    "dict[str, str]": lambda value: isinstance(value, dict) and all(isinstance(each, str) for each in value.values()),
}
