"""A `Daemon` in the mold: loaded, planned, and its workers' functions found."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from .. import _context
from .._context import Launch, WorkerContext
from .._errors import UsageError
from .._listener import as_data, declared
from .._records.members import asdict
from .._worker.callbacks import calls, registered
from .._worker.handle import Handle, Worker
from .._worker.limits import Limits
from ..daemon import Daemon, Kind, Plan, Pool

if TYPE_CHECKING:
    from .._wire.messages import Json
    from .._worker.assignment import Assignment
    from .warming.warm import WarmUp

H = TypeVar("H", bound=Handle[Any])


class DaemonApplication:
    """The mold's view of a `Daemon` (see `_mold.mold.Application`)."""

    def __init__(self, daemon: Daemon, looping: Collection[str] = ()) -> None:
        """`looping` are kinds whose plain function, a server's, runs an event loop."""
        self._daemon = daemon
        # Here, once: the pages that `inspect` touches would become private memory of each worker.
        self._coroutines = {name for name, kind in daemon.kinds.items() if inspect.iscoroutinefunction(kind.function)}
        self._aside = [name for name, kind in daemon.kinds.items() if kind.auxiliary]
        self._looping = {*self._coroutines, *self._aside, *looping}
        self._telemetry = any(name.startswith("OTEL_") for name in os.environ)
        self._contexts: dict[str, WorkerContext] = {}
        """Encoded -> decoded contexts of the plan: decoding would be thirty pages of private memory in each worker."""

    def plan(self) -> Json:
        """Read the configuration and compute the plan, as plain data that `_wire.plan_data` takes apart."""
        daemon = self._daemon
        if daemon.plan_function is None:
            raise UsageError(f"the daemon {daemon.name} has no plan: declare one with @daemon.plan")
        _context.check_classes()
        registered.refuse_coroutines(daemon.kinds.keys() - self._looping)
        if self._coroutines:
            from .._worker import async_handle  # noqa: F401 - Now, in the mold; other daemons do without it.
        arguments = [] if daemon.config is None else [daemon.config.read()]
        planned = daemon.plan_function(*arguments)
        plan = planned if isinstance(planned, Plan) else Plan(_iterable(planned))
        self._contexts = {}
        return {
            "options": asdict(daemon.options),
            "about": {},
            "watched": None if daemon.config is None else daemon.config.watched,
            "listeners": as_data({**daemon.listeners, **declared(plan.listeners)}),
            "kinds": {name: asdict(kind.options) for name, kind in daemon.kinds.items()},
            "auxiliary": self._aside,
            **self._workers(plan.workers),
        }

    def _workers(self, workers: Iterable[WorkerContext | Pool]) -> dict[str, Any]:
        entries: list[dict[str, Any]] = []
        pools: list[dict[str, Any]] = []
        for item in workers:
            if isinstance(item, Pool):
                pooled = [self._entry(context) for context in item.contexts()]
                entries += pooled
                kinds = {entry["kind"] for entry in pooled}
                if len(kinds) > 1:
                    raise UsageError(f"a pool makes workers of one kind, not of {', '.join(sorted(kinds))}")
                keys = [entry["key"] for entry in pooled]
                pools.append(
                    {"kind": kinds.pop(), "keys": keys, "size": item.size, "min": item.min, "default": item.default}
                )
            else:
                entries.append(self._entry(item))
        return {"entries": entries, "pools": pools}

    def _entry(self, context: Any) -> dict[str, Any]:
        if not isinstance(context, WorkerContext):
            raise UsageError(f"a plan is made of worker contexts and pools, not of {context!r}")
        key = _context.key(context)
        if context._kind not in self._daemon.kinds:
            raise UsageError(f"{key} has no function: declare one with @daemon.worker({type(context).__name__})")
        encoded = _context.encoded(context)
        back = _context.decoded(key, encoded)  # Once here, so that it fails before anything is started.
        launch = context.launch()
        if not isinstance(launch, Launch):
            raise UsageError(f"{type(context).__qualname__}.launch() returned {launch!r}, not a prefork.Launch")
        launch = msgspec.to_builtins(launch)
        text = encoded.decode(errors="surrogateescape")  # A class's own encode() need not return text.
        self._contexts[text] = back
        digest = blake2b(encoded + b"\n" + msgspec.json.encode(launch, order="deterministic"), digest_size=16)
        return {
            "key": key,
            "kind": context._kind,
            "digest": digest.hexdigest(),
            "context": text,
            "launch": launch,
        }

    def warming(self) -> WarmUp | None:
        """Return the functions that the application declared with `warm`."""
        if not self._daemon.warms:
            return None
        from .warming.warm import of_functions

        return of_functions(self._daemon.warms, self._daemon.options.warm_timeout)

    def before_fork(self) -> None:
        """Call the functions that the application declared with `before_fork`."""
        for function in self._daemon.before_forks:
            function()

    def rehearsal(self, _key: str, _context: Json) -> Callable[[Assignment], None]:
        """Return a function that takes a worker's steps without the application's own and those of an event loop."""
        return self._rehearse

    def _rehearse(self, assignment: Assignment) -> None:
        [name] = assignment.listeners

        def accept_once(worker: Worker[Any]) -> None:
            for connection, _ in worker.accept(name):
                connection.close()
                assignment.drain.request()
            worker.activity.retire()

        self.stage(accept_once, assignment)

    def stage(self, function: Callable[[Worker[Any]], None], assignment: Assignment) -> None:
        """Take the steps of the plan's first worker of a plain function, with another function, and none registered."""
        for text, context in self._contexts.items():
            if context._kind not in (*self._coroutines, *self._aside):
                self.worker("", text)
                self._work(registered.Registry(), context, function, None, assignment)
                break
        for listener in assignment.listeners.values():
            listener.close()

    rehearsal_of_spare = rehearsal

    def worker(self, key: str, context: Json) -> Callable[[Assignment], None]:
        """Return the function of the worker that this encoded context describes."""
        text = str(context)
        decoded = self._contexts.get(text)
        if decoded is None:  # From an earlier plan of this mold, or in an interpreter of its own.
            decoded = _context.decoded(key, text.encode(errors="surrogateescape"))
        kind, lifespan = self._daemon.kinds[decoded._kind], self._daemon.lifespans.get(decoded._kind)
        registry = registered.Registry() if kind.auxiliary else registered.own
        work: Callable[[Assignment], None] = partial(self._work, registry, decoded, kind.function, lifespan)
        if self._telemetry or "opentelemetry" in sys.modules:
            from .._worker.telemetry.resource import described

            work = partial(described, self._daemon.name, work)
        return work if kind.options.umask is None else partial(_masked, kind.options.umask, work)

    def _work(
        self,
        registry: registered.Registry,
        context: WorkerContext,
        function: Callable[..., Any],
        lifespan: Callable[..., Any] | None,
        assignment: Assignment,
    ) -> None:
        name: str = context._kind
        make: Callable[..., Handle[Any]] = Worker
        run: Callable[..., None] = _live
        if name in self._coroutines:
            from .._worker import async_handle

            make, run = async_handle.AsyncWorker, async_handle.live
        registry.worker = "loop" if name in self._looping else "plain"
        calls.around(registry, _limit(make(context, assignment), self._daemon.kinds[name]), run, function, lifespan)


def _masked(umask: int, work: Callable[[Assignment], None], assignment: Assignment) -> None:
    """WarmUp with another umask, the one term that only the process itself can set."""
    os.umask(umask)
    work(assignment)


def _limit(worker: H, kind: Kind) -> H:
    worker._drain.timeout = kind.options.drain_timeout
    worker.activity.hang_timeout = kind.options.hang_timeout
    if not worker.activity.hang_timeout:
        worker.activity.wake = None
    options = kind.options
    if options.max_requests or options.max_memory:
        worker.activity.limits = Limits(
            options.max_requests, options.max_requests_jitter, options.max_memory, worker.request_replacement
        )
    return worker


def _live(worker: Worker[Any], function: Callable[..., Any], lifespan: Callable[..., Any] | None) -> None:
    if lifespan is None:  # No nullcontext(), which would be seven pages of private memory in each worker.
        function(worker)
        return
    with contextmanager(lifespan)(worker):
        function(worker)


def _iterable(planned: Any) -> Iterable[WorkerContext | Pool]:
    if isinstance(planned, Iterable) and not isinstance(planned, str | bytes):
        return planned
    raise UsageError(f"a plan returns worker contexts and pools in a list, or a Plan, not {planned!r}")
