"""The interface of haskell-prefork in Python's spelling, for programs with hooks.

A master that calls the program's own hooks keeps a set of workers running; each worker is the program executed again
and given one `WorkerContext`. Hooks run in the master, between two turns of its loop: they should not take long.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Generic, TypeVar

from . import _context
from ._context import WorkerContext
from ._errors import PreforkError, SystemFailure, UsageError, exit_with
from ._hooks import role
from ._hooks.settings import C, send
from ._hooks.settings import PreforkSettings as PreforkSettings
from ._hooks.settings import default_settings as default_settings
from ._linux.program import THIS_PROGRAM

# What only a master needs is imported where it is used: it takes longer to import than all that a worker needs, and
# workers are started more often.

_MAKES_AN_OBJECT = 0x20 | 0x80 | 0x200
"""The flags of generators, coroutines and asynchronous generators: inspect.CO_GENERATOR and so on; inspect is large."""

W = TypeVar("W", bound=WorkerContext)


class PreforkResource(Generic[W]):
    """The workers that should run (`workers`, a set), and those that do (`procs`, pid -> context)."""

    def __init__(self, workers: Iterable[W] = ()) -> None:
        self.workers: set[W] = set()
        self.procs: dict[int, W] = {}
        update_worker_set(self, workers)


def update_worker_set(resource: PreforkResource[W], workers: Iterable[W]) -> None:
    """Replace the wanted set. Of contexts with the same identity the last one is kept.

    Raises UsageError, and changes nothing, if one of them could not be sent to a worker.
    """
    wanted: dict[str, W] = {}
    for context in workers:
        context.encode()
        wanted[_context.key(context)] = context
    resource.workers = set(wanted.values())


def relaunch_settings(
    resource: PreforkResource[W],
    update: Callable[[PreforkResource[W]], C | None],
    fork: Callable[[W], int],
) -> PreforkSettings[C]:
    """Return the settings of a typical prefork server.

    `update` reads the configuration and sets the wanted workers (`update_worker_set`); `fork` starts one and returns
    its pid. At start and at HUP the whole wanted set is started, and then the former workers are told to end; a worker
    that ends is started again if it is still wanted. Where one of the new workers cannot be started, those that were
    are told to end and the former ones stay.
    """

    def update_server(_config: C) -> Iterable[int]:
        started: dict[int, W] = {}
        try:
            for context in sorted(resource.workers, key=_context.order):
                started[_started(fork, context)] = context
        except BaseException:
            send(started, signal.SIGTERM)
            raise
        former, resource.procs = resource.procs, started
        send(former, signal.SIGTERM)
        return list(started)

    def on_child_finished(_config: C) -> Iterable[int]:
        missing = resource.workers.difference(resource.procs.values())
        started = []
        for context in sorted(missing, key=_context.order):
            pid = _started(fork, context)
            resource.procs[pid] = context
            started.append(pid)
        return started

    def cleanup_child(_config: C, pid: int) -> None:
        resource.procs.pop(pid, None)

    settings: PreforkSettings[C] = default_settings()
    return replace(
        settings,
        update_config=lambda: update(resource),
        update_server=update_server,
        on_child_finished=on_child_finished,
        cleanup_child=cleanup_child,
    )


def _started(fork: Callable[[W], int], context: W) -> int:
    pid = fork(context)
    if type(pid) is not int or pid <= 0:
        raise UsageError(f"fork returned {pid!r} for {_context.key(context)}, not its pid: is there a return missing?")
    return pid


def fork_worker_process(context: WorkerContext, args: Sequence[str] = ()) -> int:
    """Start a worker with this context and return its pid; to be called by a hook.

    The program is executed again with `args` as its command line, after the interpreter options that the context asks
    for. Raises UsageError outside of a hook and for a context that cannot be sent, SystemFailure when the system
    refuses.
    """
    from ._hooks.decider import running
    from ._hooks.spawn import WorkerImage

    spawner = running.get(None)
    if spawner is None:
        raise UsageError(
            "fork_worker_process() was called outside of a hook: only a running master has workers, "
            "and only its own thread starts them"
        )
    if not isinstance(context, WorkerContext):
        raise UsageError(f"fork_worker_process() takes a WorkerContext, not {context!r}")
    image = WorkerImage(
        kind=context._kind,
        key=_context.key(context),
        context=context.encode(),
        interpreter_options=_words("interpreter_options()", context.interpreter_options()),
        arguments=_words("args", args),
        descriptors=tuple(_context.descriptors(context)),
    )
    return spawner.start(image)


def _words(what: str, words: Sequence[str]) -> tuple[str, ...]:
    """What a command line may hold. A string is a sequence of strings, too: one for each letter."""
    if isinstance(words, str) or not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"{what}: {words!r} is no list of strings")
    if any("\0" in word for word in words):
        raise UsageError(f"{what}: {words!r} holds a NUL, where a command line ends")
    return tuple(words)


def default_main(
    settings: PreforkSettings[C] | Callable[[], PreforkSettings[C]], action: Callable[[W], object]
) -> None:
    """Be the master, or, where a master has started this process as a worker, run `action` with its context.

    `settings` may be a function that makes them: it is called in the master only, so that it may read the command line,
    which in a worker holds the worker's own arguments. A worker never returns from here: when `action` returns it exits
    with status 0. The master returns when its last child has ended, or raises SystemExit if the status is not 0: 2 for
    a misuse, 1 when the system failed.
    """
    try:
        _check_action(action)
        own = role.take()
        if own is not None:
            context = _take_context(own)
        else:
            status = _run_master(settings)
            if status:
                sys.exit(status)
            return
    except PreforkError as error:
        exit_with(error)
    action(context)
    sys.exit(0)


run_settings = default_main
"""The same, under the other name that haskell-prefork has for it."""


def _check_action(action: object) -> None:
    flags = getattr(getattr(action, "__code__", None), "co_flags", 0)
    if not callable(action) or flags & _MAKES_AN_OBJECT:
        raise UsageError(
            f"the workers' action is {action!r}, not a plain function: "
            "where it is to run coroutines, let a function call asyncio.run()"
        )


def _run_master(settings: PreforkSettings[Any] | Callable[[], PreforkSettings[Any]]) -> int:
    from ._hooks.decider import HookDecider
    from ._hooks.spawn import Spawner
    from ._linux.signals import NAMES
    from ._master.loop import Master, hold_standard_descriptors

    hold_standard_descriptors()  # Before a socket that the program opens can come to be number 0.
    if callable(settings):
        settings = settings()
    if not isinstance(settings, PreforkSettings):
        raise UsageError(f"the settings are {settings!r}, not PreforkSettings: does their function return them?")
    _context.check_classes()
    role.print_by_line()  # Among the workers' lines, what a hook prints would otherwise come last.
    spawner = Spawner(THIS_PROGRAM)
    with ExitStack() as stack:
        try:
            master = stack.enter_context(Master())
            stack.enter_context(spawner.attached(master))
        except OSError as error:
            raise SystemFailure(f"the master cannot be started: {error}") from error
        return master.run(HookDecider(settings, spawner, NAMES, master.signals.regain), spawner)


def _take_context(own: role.WorkerRole) -> Any:
    try:
        _context.check_classes()
        context = _context.find(own.launch.kind).decode(own.context)
    except Exception as error:  # An overridden decode() may raise anything.
        own.refused(str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}")
        sys.exit(2)
    own.taken()
    return context
