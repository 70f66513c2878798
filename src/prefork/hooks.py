"""The interface of haskell-prefork in Python's spelling, for programs with hooks.

A master calls the program's hooks and keeps a set of workers running; each worker is the program executed again with
one `WorkerContext`. Hooks run in the master, between two turns of its loop: they must be quick.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

from . import _context
from ._context import WorkerContext
from ._errors import MisplacedError, PreforkError, SystemFailure, UsageError, exit_with
from ._hooks import role
from ._hooks.change import changing
from ._hooks.functions import check_function, checked
from ._hooks.settings import C
from ._hooks.settings import PreforkSettings as PreforkSettings
from ._hooks.settings import default_settings as default_settings
from ._linux.program import THIS_PROGRAM

# What only a master needs is imported where it is used: it takes longer to import than all that a worker needs.

W = TypeVar("W", bound=WorkerContext)


class PreforkResource(Generic[W]):
    """The desired workers (`workers`, a set of contexts), and the running ones (`procs`, pid -> context)."""

    def __init__(self, workers: Iterable[W] = ()) -> None:
        self.workers: set[W] = set()
        self.procs: dict[int, W] = {}
        update_worker_set(self, workers)


def update_worker_set(resource: PreforkResource[W], workers: Iterable[W]) -> None:
    """Replace the desired workers. Of contexts with the same identity the last one is kept.

    If the hook that called it raises, or the reload fails, the former ones are desired again. Raises UsageError, and
    changes nothing, if one of them cannot be sent to a worker.
    """
    if not isinstance(resource, PreforkResource):
        raise UsageError(f"the resource is {resource!r}, not a PreforkResource: give what `PreforkResource()` returns")
    if not isinstance(workers, Iterable):
        raise UsageError(f"update_worker_set() takes a list of worker contexts, not {workers!r}")
    wanted: dict[str, W] = {}
    for context in workers:
        if not isinstance(context, WorkerContext):
            raise UsageError(f"update_worker_set() takes worker contexts, not {context!r}")
        _context.encoded(context)
        wanted[_context.key(context)] = context
    _keep_workers(resource)
    resource.workers = set(wanted.values())


def _keep_workers(resource: PreforkResource[W]) -> None:
    """Have the desired workers go back, even if changed in place, where the hook raises or its reload fails."""
    if (change := changing.get(None)) is not None:
        change.keep(resource, "workers")


def relaunch_settings(
    resource: PreforkResource[W],
    update: Callable[[PreforkResource[W]], C | None],
    fork: Callable[[W], int],
) -> PreforkSettings[C]:
    """Return the settings of a typical prefork server.

    `update` reads the configuration and sets the desired workers (`update_worker_set`); `fork` starts one and returns
    its pid. At start and on HUP all desired workers are started. The former ones get TERM when the new ones have taken
    their contexts, and have called `ready()` where workers of their kind do that. If one of the new ones fails before,
    these get TERM, and the former workers, desired workers and configuration stay. A worker that ends is started again
    if it is still desired.
    """
    relaunch = _Relaunch(resource, update, fork)
    settings: PreforkSettings[C] = default_settings()
    return replace(
        settings,
        update_config=relaunch.update_config,
        update_server=relaunch.update_server,
        on_child_finished=relaunch.on_child_finished,
        cleanup_child=relaunch.cleanup_child,
    )


class _Relaunch(Generic[W, C]):
    """The hooks of `relaunch_settings`. They are called in masters only, each within a change."""

    def __init__(
        self,
        resource: PreforkResource[W],
        update: Callable[[PreforkResource[W]], C | None],
        fork: Callable[[W], int],
    ) -> None:
        self._resource = resource
        self._update = update
        self._fork = fork
        self._successors: dict[int, W] = {}  # the workers of a reload that is under way
        self._former: set[W] | None = None  # what is desired until its end
        self._failed: set[W] = set()

    def update_config(self) -> C | None:
        # Not when the settings are made: there the error would be a traceback.
        check_function("update", self._update, ("resource",))
        check_function("fork", self._fork, ("context",))
        _keep_workers(self._resource)
        return self._update(self._resource)

    def update_server(self, _config: C) -> Iterable[int]:
        change = changing.get()
        change.keep(self, "_successors")
        if change.keep(self, "_former") is None:
            self._former = change.keep(self._resource, "workers")
        change.exchange = self._exchange
        self._successors = {}
        for context in sorted(self._resource.workers, key=_context.order):
            self._successors[_started(self._fork, context)] = context
        return list(self._successors)

    def _exchange(self) -> Iterable[int]:
        former, self._resource.procs = self._resource.procs, self._successors
        self._successors, self._former = {}, None
        return former

    def on_child_finished(self, _config: C) -> Iterable[int]:
        desired = self._resource.workers if self._former is None else self._former
        missing = desired.difference(self._resource.procs.values())
        started = []
        # Those that could not be started come last: one that never can be must not keep the others from it.
        for context in sorted(missing, key=lambda one: (one in self._failed, _context.order(one))):
            self._failed.add(context)
            pid = _started(self._fork, context)
            self._resource.procs[pid] = context
            started.append(pid)
            self._failed.discard(context)
        self._failed.clear()
        return started

    def cleanup_child(self, _config: C, pid: int) -> None:
        self._resource.procs.pop(pid, None)
        self._successors.pop(pid, None)


def _started(fork: Callable[[W], int], context: W) -> int:
    pid = fork(context)
    if type(pid) is not int or pid <= 0:
        raise UsageError(f"fork returned {pid!r} for {_context.key(context)}, not its pid: is its `return` missing?")
    return pid


def fork_worker_process(context: WorkerContext, args: Sequence[str] = ()) -> int:
    """Start a worker with this context and return its pid; only hooks may call it.

    Executes the program again with `args` as its command line, as the context's `launch()` says. Raises UsageError
    outside of a hook and for a context that cannot be sent, and SystemFailure if no process can be started.
    """
    from ._hooks import image
    from ._hooks.decider import running

    spawner = running.get(None)
    if spawner is None:
        raise UsageError(
            "fork_worker_process() was called outside of a hook: call it in update_server or on_child_finished, "
            "in the master's own thread"
        )
    if not isinstance(context, WorkerContext):
        raise UsageError(f"fork_worker_process() takes a WorkerContext, not {context!r}")
    own, launch = f"{type(context).__qualname__}.launch()", context.launch()
    if not isinstance(launch, _context.Launch):
        raise UsageError(f"{own} returned {launch!r}, not a prefork.Launch")
    return spawner.start(
        image.WorkerImage(
            key=_context.key(context),
            context=_context.encoded(context),
            interpreter_options=image.words("interpreter_options()", launch.interpreter_options),
            arguments=image.words("args", args),
            descriptors=tuple(_context.descriptors(context)),
            environ=image.variables(f"{own}.env", launch.env),
            terms=image.terms(own, launch.affinity, launch.nice),
        )
    )


def ready() -> None:
    """Report that this worker can do its work; calling it again does nothing.

    At a reload with `relaunch_settings` the former workers are asked to end when the new ones are ready. A worker that
    never calls it is ready when it has taken its context. Raises UsageError outside of the workers of `default_main`.
    """
    own = role.CLAIMED
    if not isinstance(own, role.TakenRole):
        raise UsageError("ready() was called outside of a worker's action: a worker of a Daemon calls worker.ready()")
    own.ready()


def default_main(
    settings: PreforkSettings[C] | Callable[[], PreforkSettings[C]],
    action: Callable[[W], object],
    *,
    name: str | None = None,
) -> None:
    """Run the master, or, where a master has started this process as a worker, `action` with the worker's context.

    `settings` may be a function that returns them: it is called in the master only, so that it may read the command
    line, which in a worker has the worker's own arguments. A worker never returns from here: it exits with status 0
    when `action` returns. The master returns when its last child has ended, or raises SystemExit with the exit status:
    2 for a UsageError, 1 for a SystemFailure, or what a hook gave to sys.exit.

    `name` is what `prefork status` and other commands call the daemon, if PREFORK_NAME is not set. Without either the
    name is made of the program's, with a number where another daemon has it already.
    """
    try:
        own = role.take("default_main()")
        check_function("the workers' action", action, ("context",))
        if own is not None:
            context = _take_context(own)
        else:
            status = _run_master(settings, name)
            if status:
                sys.exit(status)
            return
    except MisplacedError:
        raise
    except PreforkError as error:
        exit_with(error)
    try:
        action(context)
    except BaseException as error:
        _hint_at_descriptors(context, error)
        raise
    sys.exit(0)


run_settings = default_main
"""The same, under the other name that haskell-prefork has for it."""


_NOT_A_DESCRIPTOR = {errno.EBADF, errno.ENOTSOCK}
"""What the number of a descriptor that was not inherited gives: it is closed here, or another file's."""
_DESCRIPTOR_WORDS = ("fd", "sock", "desc", "listen", "fileno")


def _hint_at_descriptors(context: WorkerContext, error: BaseException | None) -> None:
    """Print what is to be done if a worker has failed since a field was meant as a descriptor."""
    while error is not None and getattr(error, "errno", None) not in _NOT_A_DESCRIPTOR:
        error = error.__cause__ or error.__context__
    if error is None or not is_dataclass(context):
        return
    inherited = _context.descriptors(context)
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    numbers = {name: one for name, one in values.items() if type(one) is int and one > 2 and one not in inherited}
    named = {name: one for name, one in numbers.items() if any(word in name.lower() for word in _DESCRIPTOR_WORDS)}
    if meant := ", ".join(f"{name}={one}" for name, one in (named or numbers).items()):
        print(
            f"prefork: hint: {error}: a worker inherits only the descriptors whose fields have the type "
            f"prefork.Descriptor; int is the type of {meant} in {type(context).__qualname__}",
            file=sys.stderr,
        )


def _run_master(settings: PreforkSettings[Any] | Callable[[], PreforkSettings[Any]], name: str | None) -> int:
    from ._hooks.control.serve import controlled
    from ._hooks.decider import HookDecider
    from ._hooks.spawn import Spawner
    from ._linux.signals import NAMES
    from ._master.loop import Master, hold_standard_descriptors

    hold_standard_descriptors()  # Before a socket that the program opens can come to be number 0.
    if callable(settings):
        check_function("the settings' function", settings, ())
        settings = settings()
    if not isinstance(settings, PreforkSettings):
        raise UsageError(f"the settings are {settings!r}, not PreforkSettings: is a `return` missing?")
    settings = checked(settings)
    _check_seconds(settings.drain_timeout)
    _context.check_classes()
    role.print_by_line()  # Otherwise what a hook prints would appear after the workers' lines.
    spawner = Spawner(THIS_PROGRAM)
    with role.master(), ExitStack() as stack:
        try:
            master = stack.enter_context(Master())
            stack.enter_context(spawner.attached(master))
        except OSError as error:
            raise SystemFailure(f"cannot start the master: {error}") from error
        decider = HookDecider(settings, spawner, NAMES, master.signals.regain)
        steered, observers = stack.enter_context(controlled(master, decider, spawner, THIS_PROGRAM, name))
        return master.run(steered, spawner, observers)


def _check_seconds(timeout: float) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise UsageError(f"drain_timeout is {timeout!r}, not a number of seconds, 0 or more")


def _take_context(own: role.WorkerRole) -> Any:
    try:
        _context.check_classes()
        context = _context.decoded(own.launch.key, own.context)
    except Exception as error:  # An overridden decode() may raise anything.
        own.refused(str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}")
        sys.exit(2)
    own.taken()
    return context
