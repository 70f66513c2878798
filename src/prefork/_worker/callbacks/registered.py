"""The functions that an application registers when it is imported, in the order of their registration.

They are called by molds and workers alone. In any other process, such as a plain `uvicorn shop:app`, they are only
registered, so that the application stays usable there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

from ..._errors import UsageError
from ..._hooks import role
from ..._records.record import record

F = TypeVar("F", bound=Callable[..., object])

_AT_IMPORT = "call it when the application is imported"


@record
class Registered:
    """One function. `call` is the registration as it is written, for people: `on_worker_start(shop.connect)`."""

    function: Callable[..., Any]
    takes_worker: bool
    is_coroutine: bool
    call: str


class Registry:
    """The functions of one process. `worker`: whether it is a worker, and whether that has an event loop."""

    def __init__(self) -> None:
        self.starts: list[Registered] = []
        self.stops: list[Registered] = []
        self.reloads: list[Registered] = []
        self.worker: Literal["", "plain", "loop"] = ""


own = Registry()
"""Those of this process. A rehearsal has an empty registry."""


def on_worker_start(function: F) -> F:
    """Have `function` called in each worker before it is ready, and return it. For use as a decorator, too.

    It takes no argument, or the worker's handle. A plain function is called in the main thread, before there is an
    event loop; a coroutine function in the worker's event loop, before the application's lifespan. What it raises is
    the worker's failure to start. Raises UsageError for other arguments, and in a worker, which has started.
    """
    found = _registered("on_worker_start", function)
    if own.worker:
        raise UsageError(f"{found.call}: this worker has started already: {_AT_IMPORT}")
    own.starts.append(found)
    return function


def on_worker_stop(function: F) -> F:
    """Have `function` called in each worker that ends in order, and return it. For use as a decorator, too.

    It takes no argument, or the worker's handle. It is called when the worker has drained and the application's
    lifespan is over, before exit handlers; the last registered function first. A running worker may register one,
    too. What it raises is logged. Raises UsageError for other arguments.
    """
    found = _registered("on_worker_stop", function)
    if found.is_coroutine and own.worker == "plain":
        raise UsageError(f"{found.call}: it is a coroutine function, and this worker has no event loop")
    own.stops.append(found)
    return function


def on_reload(function: F) -> F:
    """Have `function` called once in each reload, and return it. For use as a decorator, too.

    It takes no argument, and is called in the mold that has imported the new code, before the first new worker. What
    it raises fails the reload: the old code serves on. Raises UsageError for a function with arguments or a coroutine
    function, and in a worker, which does not reload.
    """
    found = _registered("on_reload", function)
    if found.takes_worker or found.is_coroutine:
        what = "is a coroutine function" if found.is_coroutine else "takes an argument"
        raise UsageError(f"{found.call}: it {what}: give a plain function without arguments")
    if own.worker:
        raise UsageError(f"{found.call}: this process is a worker, which does not reload: {_AT_IMPORT}")
    own.reloads.append(found)
    return function


def refuse_coroutines(kinds: Iterable[str]) -> None:
    """Raise UsageError for a coroutine function: workers of these kinds have no event loop."""
    found = next((each for each in (*own.starts, *own.stops) if each.is_coroutine), None)
    if found is not None and (kind := next(iter(kinds), None)) is not None:
        raise UsageError(
            f"{found.call}: it is a coroutine function, and workers of kind {kind!r} have no event loop: "
            "give a plain function"
        )


def _registered(call: str, function: Callable[..., Any]) -> Registered:
    """Return the record of a function. Raises UsageError for one that cannot be called as it would be."""
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', repr(function))}".lstrip(".")
    call = f"{call}({name})"
    if isinstance(role.CLAIMED, role.MasterRole):
        raise UsageError(f"{call}: this process is a master with hooks: start and end its workers in these hooks")
    if not callable(function):
        raise UsageError(f"{call}: it cannot be called: give a function")
    count = _required(function)
    if count > 1:
        raise UsageError(f"{call}: it takes {count} arguments: a function takes none, or the worker's handle")
    called = getattr(function, "__call__", None)  # noqa: B004 - That of an object with an `async def __call__`.
    return Registered(function, count == 1, any(map(inspect.iscoroutinefunction, (function, called))), call)


def _required(function: Callable[..., Any]) -> int:
    """Return how many positional arguments a call must have; 0 where it is unknown, as for some built-in functions."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.default is each.empty and each.kind in positional for each in parameters)
