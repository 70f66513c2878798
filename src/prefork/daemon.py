"""A daemon as the application declares it: which workers exist, and what they do.

Nothing here runs anything. A `Daemon` is what the application declares; the mold asks it for its plan, and workers
ask it for their function (`_daemon_application`). `run()` starts the master.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, Unpack

from ._context import WorkerContext
from ._errors import UsageError
from ._launch.keywords import DaemonKeywords
from ._listener import Listener, declared
from ._options.records import DaemonOptions, KindOptions, Record, checked
from ._options.types import DAEMON_NAME

if TYPE_CHECKING:
    from .config import Source

F = TypeVar("F", bound=Callable[..., object])
Around = TypeVar("Around", bound=Callable[..., Iterator[None]])
D = TypeVar("D")
C = TypeVar("C")
R = TypeVar("R")
P = ParamSpec("P")


def _with_options(
    _record: Callable[P, object],
) -> Callable[[Callable[Concatenate[D, C, ...], R]], Callable[Concatenate[D, C, P], R]]:
    """Give a method the keywords of a record of options, for type checkers and editors."""
    return lambda function: function


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
    """One kind of worker: its class, its function and its options. `auxiliary`: see `_core.plan.Kind`."""

    context: type[WorkerContext]
    function: Callable[..., Any]
    options: KindOptions
    auxiliary: bool = False


class Daemon:
    """A daemon: a name, a configuration, listeners by name, a plan, and what its workers do.

    `listeners` maps names to addresses (`tcp://host:port`, `unix:///path`), or to a `Listener` with its options.
    `config` is a source such as `toml_file(...)`; without one the plan takes no argument.
    """

    def __init__(
        self,
        name: str,
        *,
        config: Source[object] | None = None,
        listeners: Mapping[str, str | Listener] | None = None,
        **options: Unpack[DaemonKeywords],
    ) -> None:
        try:
            self.name = DAEMON_NAME.check(name)
        except ValueError as error:
            raise UsageError(str(error)) from None
        self.config = config
        self.listeners = declared(listeners)
        self.options = _checked(f"Daemon({name!r})", DaemonOptions, options)
        self.kinds: dict[str, Kind] = {}
        self.lifespans: dict[str, Callable[..., Iterator[None]]] = {}
        self.before_forks: list[Callable[[], object]] = []
        self.warms: list[Callable[[], object]] = []
        self.plan_function: Callable[..., Any] | None = None

    def plan(self, function: F) -> F:
        """Declare the plan: a function of the configuration that returns contexts, pools, or a `Plan`."""
        self.plan_function = function
        return function

    @_with_options(KindOptions)
    def worker(self, context: type[WorkerContext], **options: Any) -> Callable[[F], F]:
        """Declare what the workers of a kind do: a function, or coroutine function, of the worker's handle.

        The options are the fields of `_options.records.KindOptions`. Raises UsageError for an unknown option or a value
        that is not allowed, and where the kind has a function already.
        """
        record = _checked(f"worker({context.__name__})", KindOptions, options)
        kind = context._kind

        def declare(function: F) -> F:
            if kind in self.kinds:
                raise UsageError(f"workers of kind {kind!r} have a function already")
            self.kinds[kind] = Kind(context, function, record)
            return function

        return declare

    def before_fork(self, function: F) -> F:
        """Declare what the mold does before it forks: close pools, stop threads."""
        self.before_forks.append(function)
        return function

    def warm(self, function: F) -> F:
        """Declare what the mold does once, before `before_fork`, so that workers share what it leaves, such as caches.

        What it raises is logged and fails nothing; it may take `warm_timeout` seconds.
        """
        self.warms.append(function)
        return function

    def collector(self, function: F) -> F:
        """Declare metrics that the agent collects, once for all workers: see `prefork.collector`."""
        from ._worker.metrics.collectors import collector

        return collector(function)

    def lifespan(self, context: type[WorkerContext]) -> Callable[[Around], Around]:
        """Declare what surrounds the work of a kind: a generator of the handle, that yields once.

        What comes before the yield runs before the worker is ready, what comes after it when it has drained.
        """

        def declare(function: Around) -> Around:
            self.lifespans[context._kind] = function
            return function

        return declare

    def run(self) -> None:
        """Run the daemon: become its master, in this very process. Where prefork started us, be what it started.

        Never returns. Raises SystemExit(2), with a message, where there is no program that could be run again (standard
        input, a prompt, a notebook, a test, a debugger).
        """
        from ._launch.start import run

        run(self.name, self.options, self)


def _checked(where: str, record: type[Record], given: Mapping[str, Any]) -> Record:
    try:
        return checked(record, given)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
