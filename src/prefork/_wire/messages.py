"""Who says what to whom: the messages between the master, a mold and the processes that the mold forks.

Each travels as one packet of a `channel.Channel`; a message that brings descriptors says which, in order. All are
JSON but the order, which only a newborn reads, and only from its master.

The master and a mold, over the socket that the mold was started with (`Launch` waits in a sealed memfd; the
lifeline and the scoreboard come with it):

    mold    PlanFailed(step="load")   unasked: the import failed, the mold ends
    master  ComputePlan               at once, the mold answers after its import; again for each replan
    mold    Planned | PlanFailed      to each; where it has never planned a failure ends it
    master  Breed(count)              only after Planned; several are worked off in order
      intermediate  NewbornAnnounced  [channel]: each process of the batch, as soon as it has been forked
      intermediate  BirthFailed       the fork or what it needs failed; ends the batch
    mold    BirthsEnded               the intermediate has been reaped: what was announced is adopted
    master  end of file               the mold ends, by a normal exit

The master and a newborn, over the newborn's own channel:

    newborn Hello                     with the kernel's word for its pid (SCM_CREDENTIALS)
    master  Order                     [lifeline, *listeners, *streams]: not before the birth is adopted
    worker  Ready                     at most once
    worker  WornOut                   it has reached a limit, and serves on until it is told to drain
    worker  Drained                   it has done what it was told to, and only its interpreter has still to end
    worker  Busy                      it has got something to do, and the master was not watching
    worker  StacksWritten             as the master has asked by a signal (`stacks`)
    worker  Failed                    the function raised; the process is about to exit 1
    master  Abandon                   before a TERM: which queues the worker is the last to take from
    master  end of file               before the order: the spare exits 0 in silence; after it: nothing

A newborn is *born* when it has said Hello and its mold has said BirthsEnded, in whichever order the two
arrive. Before that it is not yet the master's child: its getppid() names the intermediate, and an order would
let it conclude that its master is dead. A batch is Breed.count births: what has not been announced when its
BirthsEnded comes has failed.

Draining is asked for by SIGTERM, never by a message, so that it means the same whoever sends it. Abandon lies in the
worker's channel before the signal comes, and is looked for when it has: there is no moment in which only one is known.
"""

from __future__ import annotations

import json
import marshal
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Literal, TypeAlias, get_args

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Share: TypeAlias = Literal["freeze", "immortal", "none", ""]


class MalformedMessage(Exception):
    """The peer said something that no honest peer says; it is not to be listened to any more."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a mold is told when it starts.

    `application` is `module:callable`; called with `arguments` it runs the application's program, which ends in
    `Mold.serve`. `argv` becomes `sys.argv` before that; `share` is a mode of `sharing.prepare`, or empty for the
    application's own. `alone`: it forks nobody, and is itself the one worker whose order it reads. The titles are what
    ps shows for the mold and for its spares. `captured`: the master reads its standard streams.
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


@dataclass(frozen=True, slots=True)
class ComputePlan:
    """Compute the plan again. `settings` is passed to the application as it is."""

    settings: Json = None


@dataclass(frozen=True, slots=True)
class Breed:
    """Fork `count` newborns, with one intermediate process for all of them."""

    count: int


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan, and what the user should know about forking from this application (lost threads, ...)."""

    plan: Json
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanFailed:
    """The application failed in `step` (start, load, plan or before_fork); `text` is its traceback."""

    step: str
    text: str


@dataclass(frozen=True, slots=True)
class NewbornAnnounced:
    """A process was forked; the descriptor is the master's end of its channel."""


@dataclass(frozen=True, slots=True)
class BirthFailed:
    """No further process of this batch could be forked."""

    reason: str


@dataclass(frozen=True, slots=True)
class BirthsEnded:
    """The intermediate of `ordered` births is gone; `reason` says how when it did not simply exit 0."""

    ordered: int
    reason: str


@dataclass(frozen=True, slots=True)
class Hello:
    """I exist, lead a session of my own, hold no descriptor of the mold's, and wait for an order."""


@dataclass(slots=True)  # Not frozen: that would be 15 pages more of each worker, by the way in which it sets fields.
class Order:
    """Be this worker.

    `context` is the encoded context, `listeners` names the descriptors that follow the lifeline, in order.
    `master` is the sender's pid. `orphan_grace` (seconds) is how long to serve on after the master's death: 0
    ends the process with it. `exit_timeout` (seconds) bounds the interpreter's exit, and `finish_timeout` that of
    a worker that has done its part, whose threads may have theirs to do. `explicit_ready` leaves it to the function to
    say that it is ready. `row` is the worker's in the scoreboard, -1 for none. In `title` the
    worker puts the state that it is in for `{}`. `captured`: after the listeners come the standard output and error
    that it is to have.
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


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker can do its work."""


@dataclass(frozen=True, slots=True)
class WornOut:
    """The worker has reached a limit of its kind and wants a successor."""

    reason: str


@dataclass(frozen=True, slots=True)
class Drained:
    """The worker has finished, as it was asked to, and is about to exit."""


@dataclass(frozen=True, slots=True)
class Busy:
    """The worker has got something to do while the master was not watching whether any hangs."""


@dataclass(frozen=True, slots=True)
class StacksWritten:
    """The worker has written its stacks where it was asked to."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker's function raised; `text` is the traceback without prefork's own frames."""

    text: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Nobody takes over these listeners' queues, by name: accept what waits there before you go."""

    listeners: tuple[str, ...]


Message = (
    Launch
    | ComputePlan
    | Breed
    | Planned
    | PlanFailed
    | NewbornAnnounced
    | BirthFailed
    | BirthsEnded
    | Hello
    | Order
    | Ready
    | WornOut
    | Drained
    | Busy
    | StacksWritten
    | Failed
    | Abandon
)

_CLASSES: dict[str, type[Message]] = {cls.__name__: cls for cls in get_args(Message)}


# Made once, and in the mold: each page that a newborn writes to before its order is a page of its own.
_BARE = {cls: json.dumps({"message": cls.__name__}).encode() for cls in _CLASSES.values() if not fields(cls)}

_parts = attrgetter(*Order.__slots__)


def encode(message: Message) -> bytes:
    """One JSON object: the message's name, then its fields. Of an order, what `decode_order` reads."""
    if (bare := _BARE.get(type(message))) is not None:
        return bare
    if isinstance(message, Order):
        return marshal.dumps(_parts(message))
    # Not asdict(): it would copy a context of a megabyte, value by value.
    values = {each.name: getattr(message, each.name) for each in fields(message)}
    return json.dumps({"message": type(message).__name__, **values}, separators=(",", ":")).encode()


def decode(data: bytes) -> Message:
    """The message in `data`, every field present and of its declared type.

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
    """The order in `data`, which the master has written: a newborn trusts it, and nobody else reads orders.

    Not JSON, and not checked field by field: that would be a third of a megabyte of each worker's own memory, and
    of what it takes to become one. Raises MalformedMessage.
    """
    try:
        return Order(*marshal.loads(data))
    except (ValueError, EOFError, TypeError) as error:
        raise MalformedMessage(f"not an order: {error}") from None


def descriptor_count(message: Message) -> int:
    """How many descriptors an honest peer sends with it."""
    match message:
        case NewbornAnnounced():
            return 1
        case Order():
            return 1 + len(message.listeners) + 2 * message.captured
        case _:
            return 0


def _is_number(value: object) -> bool:
    """A finite number that is not a bool; infinity would be a deadline that never comes."""
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
    "dict[str, str]": lambda value: isinstance(value, dict) and all(isinstance(each, str) for each in value.values()),
}
