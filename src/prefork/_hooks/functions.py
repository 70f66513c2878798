"""The functions that a program gives: refused by name before anything is started, if a call would not run them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from .._errors import UsageError
from .settings import PreforkSettings

_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "update_config": (),
    "update_server": ("config",),
    "on_child_finished": ("config",),
    "cleanup_child": ("config", "pid"),
    "on_terminate": ("config", "pids"),
    "on_interrupt": ("config", "pids"),
    "on_quit": ("config",),
    "on_start": ("config",),
    "on_finish": ("config",),
}
_MAY_GENERATE = {"update_server", "on_child_finished"}
"""The hooks that may yield their pids."""


def checked(settings: PreforkSettings[Any]) -> PreforkSettings[Any]:
    """Return the settings. Raises UsageError for a hook that a call would not run, or that takes other arguments.

    The returned `update_config` also refuses a result that has yet to run: it would be taken for the configuration.
    """
    for name, arguments in _ARGUMENTS.items():
        hook = getattr(settings, name)
        if name != "update_config" or not _makes_configurations(hook):
            check_function(f"hook {name}", hook, arguments, name in _MAY_GENERATE)

    def update_config() -> Any:
        config = settings.update_config()
        if isinstance(config, CoroutineType | GeneratorType | AsyncGeneratorType):
            if isinstance(config, CoroutineType):
                config.close()  # Otherwise Python warns that it was never awaited.
            raise UsageError(f"{config!r} is no configuration: its code has not run; return its result")
        return config

    return replace(settings, update_config=update_config)


def check_function(what: str, function: Any, arguments: Sequence[str], may_generate: bool = False) -> None:
    """Raise UsageError unless a call with these arguments runs a function's body.

    A call does not run that of an `async def` or a generator, nor what the objects of a class are for.
    """
    if why := _why_not(function, may_generate):
        raise UsageError(f"{what} is {function!r}, not a plain function: {why}")
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # A function of C may have none.
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        given = ", ".join(arguments)
        raise UsageError(f"{what} is called with ({given}), but {function!r} takes {signature}") from None


def _why_not(function: Any, may_generate: bool) -> str | None:
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, type):
        return "call it, and give what that returns"
    if not callable(function):
        return "give a function"
    for body in function, function.__call__:  # Of an object, its method is what runs.
        if inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body):
            return "to run coroutines, give a function that calls asyncio.run()"
        if inspect.isgeneratorfunction(body) and not may_generate:
            return "a call runs nothing of a generator: return instead of yielding"
    return None


def _makes_configurations(hook: Any) -> bool:
    """Return whether it is a class whose objects can be configurations: those that can be called are hooks."""
    return isinstance(hook, type) and not any("__call__" in vars(each) for each in hook.__mro__)
