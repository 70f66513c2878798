"""Calls of the registered functions: around the work of a worker, and in a reload's mold.

Plain functions surround everything else: they are called while there is no event loop. Coroutine functions are awaited
inside, in the worker's loop, around the application's lifespan.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ..._errors import UsageError
from ..failure import describe
from . import registered

if TYPE_CHECKING:
    from ..handle import Handle
    from .registered import Registered, Registry


class StartFailed(Exception):
    """The application has failed to start in an event loop.

    Its error is kept apart: the loop's frames would be added to it. `around` raises it.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error
        self.trace = error.__traceback__


def around(registry: Registry, worker: Any, run: Callable[[Any, Any, Any], None], function: Any, lifespan: Any) -> None:
    """Call `run(worker, function, lifespan)` between the plain functions for a worker's start and those for its end.

    Raises what one for the start raises; then those for the end are not called.
    """
    for each in registry.starts:
        if not each.is_coroutine:
            _call(each, worker)
    try:
        run(worker, function, lifespan)
    except StartFailed as failed:
        raise failed.error.with_traceback(failed.trace) from None
    finally:
        # A loop and no call: what each worker runs is private memory of it.
        for each in registry.stops[::-1]:
            if not each.is_coroutine:
                try:
                    _call(each, worker)
                except BaseException as error:  # SystemExit, too: the worker ends already.
                    _report(each, worker, error)


async def within(work: Coroutine[Any, Any, None], worker: Handle[Any]) -> None:
    """Await `work` between the coroutine functions for a worker's start and those for its end.

    Raises StartFailed with what one for the start raises.
    """
    try:
        for each in registered.own.starts:
            if each.is_coroutine:
                await _call(each, worker)
    except BaseException as error:
        work.close()  # Else the interpreter warns that it was never awaited.
        raise StartFailed(error) from None
    try:
        await work
    finally:
        for each in registered.own.stops[::-1]:
            if each.is_coroutine:
                try:
                    await _call(each, worker)
                except BaseException as error:
                    _report(each, worker, error)


def reload() -> None:
    """Call the functions for a reload. Raises what one of them raises."""
    for each in registered.own.reloads:
        each.function()


def _call(hook: Registered, worker: Handle[Any]) -> Any:
    """Return what the function returns: of a coroutine function, what is to be awaited."""
    returned = hook.function(worker) if hook.takes_worker else hook.function()
    if not hook.is_coroutine and hasattr(returned, "__await__"):
        getattr(returned, "close", lambda: None)()
        raise UsageError(f"{hook.call}: it returned a coroutine, which is not awaited: declare it with `async def`")
    return returned


def _report(hook: Registered, worker: Handle[Any], error: BaseException) -> None:
    text = f"{worker.key}: {hook.call} failed; the worker ends all the same\n{describe(error)}"
    print(text, file=sys.stderr, flush=True)
