"""A daemon, said in the application's own words: which workers should exist, and what each of them does.

Nothing here runs anything. A `Daemon` is what the application declares; the mold asks it for its plan, and workers
ask it for their function (`_daemon_application`). `run()` starts the master.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict, TypeVar, Unpack

import msgspec

from ._context import WorkerContext
from ._errors import UsageError
from ._linux.terms import LIMITS
from ._listener import Listener, declared
from .config import Source

HANG_TIMEOUT = 30.0
"""Seconds."""

F = TypeVar("F", bound=Callable[..., Any])


class DaemonOptions(TypedDict, total=False):
    """How a daemon is run. Times are in seconds."""

    share: Literal["freeze", "immortal", "none"]
    """How workers share the memory of the mold (docs/sharing.md); "freeze" by default."""
    capture: bool
    """Whether the master reads what workers write, and prints it with who wrote it (docs/logs.md); not by default."""
    log_file: str
    """Where the log is written, instead of to the standard error that the daemon was started with."""
    log_format: Literal["text", "json"]
    """Whether the log is for people or for programs; "text" by default."""
    log_level: Literal["info", "debug"]
    """Whether it tells everything of every worker; "info" by default."""
    spares: int
    """How many processes are kept forked ahead, so that filling a slot is a wake-up; 1 by default."""
    orphan_grace: float
    """How long workers serve on when the master has died, so that a new one can take over; 10 by default."""
    import_timeout: float
    """How long importing the application and computing the plan may take; 60 by default."""
    control_group: str
    """Whose members may steer the daemon over its control socket, besides its own user and root; nobody by default."""


class KindOptions(TypedDict, total=False):
    """What holds for all workers of one kind. Times are in seconds."""

    restart: Literal["always", "on-failure", "never"]
    """What to do when one ends without having been asked to; "always" by default."""
    replace: Literal["new-first", "old-first"]
    """Whether the old one may still run when its successor starts; "new-first" by default.

    With "old-first" two never run at once. So such a worker has no `orphan_grace`: the kernel kills it when the master
    dies, as the next master starts its successor at once."""
    spawn: Literal["fork", "exec"]
    """Forked from the mold, or an interpreter of its own; "fork" by default."""
    ready: Literal["auto", "explicit"]
    """Ready at its first wait, or when it says `ready()`; "auto" by default."""
    start_timeout: float
    """How long it may take to become ready; 60 by default."""
    drain_timeout: float
    """How long it may take to finish once it has been asked to, before its whole session is killed; 30 by default.

    It holds for what the function has left to threads, too; the interpreter's exit has ten seconds at least.
    """
    hang_timeout: Annotated[float, msgspec.Meta(ge=0)]
    """How long a worker may be busy without getting on before it counts as hung; 30 by default, 0 for never."""
    hang_policy: Literal["kill", "report"]
    """What to do with one that hangs, once it has been found out where: "kill" by default, or only "report" it."""
    max_requests: Annotated[int, msgspec.Meta(ge=0)]
    """After how many requests (`worker.request`) it is replaced, new one first; 0, the default, for never."""
    max_requests_jitter: Annotated[int, msgspec.Meta(ge=0)]
    """Up to how many more, drawn for each worker, so that they do not all come to it together; 0 by default."""
    max_age: Annotated[float, msgspec.Meta(ge=0)]
    """How long after it became ready it is replaced, or up to a tenth sooner; 0, the default, for never."""
    max_memory: Annotated[int, msgspec.Meta(ge=0)]
    """How many bytes of resident memory, shared ones included, have it replaced when a request ends; 0 for none."""
    limits: Mapping[str, int | tuple[int, int]]
    """Resource limits by name, `{"nofile": 1024, "core": (0, -1)}`: one value, or soft and hard; -1 is infinity."""
    umask: Annotated[int, msgspec.Meta(ge=0, le=0o777)]
    """What is taken away from the mode of the files that it makes; by default as the daemon was started."""
    nice: Annotated[int, msgspec.Meta(ge=-20, le=19)]
    """Its nice value; by default the master's own."""
    affinity: Annotated[Collection[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(min_length=1)]
    """The processors that it may run on; all by default."""
    oom_score_adj: Annotated[int, msgspec.Meta(ge=-1000, le=1000)]
    """How readily the kernel ends it when memory runs out, -1000 to 1000; by default as readily as the master."""


@dataclass(frozen=True)
class Pool:
    """Contexts that only the application can make, of which as many are wanted as the pool's size says.

    `make(i)` is called for 0 to `max` - 1. The pool can be scaled between `min` and `max` (four times `size`, unless
    given) without asking the application again. TTIN and TTOU act on the only pool, or on the `default` one.
    """

    make: Callable[[int], WorkerContext]
    size: int
    min: int = 1
    max: int | None = None
    default: bool = False

    def contexts(self) -> list[WorkerContext]:
        """Return the contexts that the pool can grow to. Raises UsageError for sizes that make no sense."""
        most = self.max if self.max is not None else max(4 * self.size, self.min)
        if not 0 <= self.min <= self.size <= most:
            raise UsageError(f"a pool needs 0 <= min <= size <= max, not min={self.min}, size={self.size}, max={most}")
        return [self.make(index) for index in range(most)]


@dataclass(frozen=True)
class Plan:
    """The wanted workers, and the listeners where they depend on the configuration."""

    workers: Iterable[WorkerContext | Pool]
    listeners: Mapping[str, str | Listener] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """One kind of worker: its class, its function and its options."""

    context: type[WorkerContext]
    function: Callable[..., Any]
    options: KindOptions


class Daemon:
    """A daemon: a name, a configuration, listeners by name, a plan, and what its workers do.

    `listeners` maps names to addresses (`tcp://host:port`, `unix:///path`), or to a `Listener` with its options.
    `config` is a source such as `toml_file(...)`; without one the plan takes no argument.
    """

    def __init__(
        self,
        name: str,
        *,
        config: Source[Any] | None = None,
        listeners: Mapping[str, str | Listener] | None = None,
        **options: Unpack[DaemonOptions],
    ) -> None:
        if not name or not all(letter.isalnum() or letter in "-_." for letter in name) or name.startswith("."):
            raise UsageError(f"{name!r} is not a daemon's name: letters, digits, '-', '_' and '.' make one")
        self.name = name
        self.config = config
        self.listeners = declared(listeners)
        self.options: DaemonOptions = options
        self.kinds: dict[str, Kind] = {}
        self.lifespans: dict[str, Callable[..., Iterator[None]]] = {}
        self.before_forks: list[Callable[[], object]] = []
        self.plan_function: Callable[..., Any] | None = None

    def plan(self, function: F) -> F:
        """Declare the plan: a function of the configuration that returns contexts, pools, or a `Plan`."""
        self.plan_function = function
        return function

    def worker(self, context: type[WorkerContext], **options: Unpack[KindOptions]) -> Callable[[F], F]:
        """Declare what the workers of a kind do: a function, or coroutine function, of the worker's handle.

        Raises UsageError where the class cannot be sent or the kind has a function already.
        """
        _check_options(f"worker({context.__name__})", options, KindOptions)
        _check_limits(f"worker({context.__name__})", options.get("limits", {}))
        kind = context._kind

        def declare(function: F) -> F:
            if kind in self.kinds:
                raise UsageError(f"workers of kind {kind!r} have a function already")
            self.kinds[kind] = Kind(context, function, options)
            return function

        return declare

    def before_fork(self, function: F) -> F:
        """Declare what the mold does before it forks: close pools, stop threads."""
        self.before_forks.append(function)
        return function

    def lifespan(self, context: type[WorkerContext]) -> Callable[[F], F]:
        """Declare what surrounds the work of a kind: a generator of the handle, that yields once.

        What comes before the yield runs before the worker is ready, what comes after it when it has drained.
        """

        def declare(function: F) -> F:
            self.lifespans[context._kind] = function
            return function

        return declare

    def run(self) -> None:
        """Run the daemon: become its master, in this very process. Where prefork started us, be what it started.

        Never returns. Raises SystemExit(2), with a message, where there is no program that could be run again (standard
        input, a prompt, a notebook, a test, a debugger).
        """
        from ._launch.start import run

        _check_options(f"Daemon({self.name!r})", self.options, DaemonOptions)
        run(self.name, self.options, self)


def _check_limits(where: str, limits: Mapping[str, int | tuple[int, int]]) -> None:
    for name, value in limits.items():
        if name not in LIMITS:
            near = difflib.get_close_matches(name, LIMITS, 1) or sorted(LIMITS)
            raise UsageError(f"{where}: there is no limit {name}: did you mean {' or '.join(near)}?")
        soft, hard = value if isinstance(value, tuple) else (value, value)
        if min(soft, hard) < -1 or (hard != -1 and not -1 < soft <= hard):
            raise UsageError(f"{where}: limit {name}={value}: a soft limit is at most the hard one; -1 is infinity")


def _check_options(where: str, given: Mapping[str, Any], known: Any) -> None:
    for name in given:
        if name not in known.__annotations__:
            near = difflib.get_close_matches(name, known.__annotations__, 1)
            raise UsageError(f"{where}: there is no option {name}" + (f": did you mean {near[0]}?" if near else ""))
    try:
        msgspec.convert(given, known)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {error}") from None
