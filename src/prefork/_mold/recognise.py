"""What kind of application a target is, by its signature."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import CodeType, ModuleType
from typing import Any, Literal, get_args

from .._errors import UsageError
from ..daemon import Daemon

Interface = Literal["asgi", "wsgi"]
What = Literal["daemon", "asgi", "wsgi", "function"]

_FACTORY = re.compile(r"(create|make|build|get|new)_?\w*app(lication)?|\w*app(lication)?_?factory", re.IGNORECASE)
"""The name of a function that makes an application."""
_OF_APPLICATIONS = {"environ", "env", "scope", "worker"}
"""Names of the first argument of applications, and of workers' functions."""

_HOOKS = {"default_main", "run_settings"}
_HELP = "an application takes (scope, receive, send) for ASGI or (environ, start_response) for WSGI"


@dataclass(frozen=True, slots=True)
class Recognised:
    """An application, and what it is; `words` describes it for people."""

    what: What
    application: Any
    words: str


def recognise(found: Any, name: str, interface: str = "auto") -> Recognised:
    """Return what `found` is, by the name that the user gave; of a factory, what the object that it returns is.

    `interface` is the one that the user gave, or "auto". A factory can be called without an argument. Raises UsageError
    for what cannot be run, and what a factory raises.
    """
    what = _what(found, name, interface)
    if what != "factory":
        return Recognised(what, found, _words(what, found))
    made = found()
    if inspect.iscoroutine(made):
        made.close()
        raise UsageError(f"{name} is a coroutine function: a factory has to return the application itself")
    what = _what(made, f"what {name}() returns", interface)
    if what == "factory":
        raise UsageError(f"what {name}() returns is {_noun(made)}, which is no application: {_HELP}")
    return Recognised(what, made, f"{_words(what, made)}, made by {name}()")


def has_hooks(module: ModuleType) -> bool:
    """Return whether a module's code calls `default_main`. Nothing else shows it where the call has a guard."""
    spec = getattr(module, "__spec__", None)
    code = getattr(spec.loader, "get_code", lambda _: None)(spec.name) if spec is not None else None
    return code is not None and not _HOOKS.isdisjoint(_names(code))


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _what(found: Any, name: str, interface: str) -> What | Literal["factory"]:
    if isinstance(found, Daemon):
        return "daemon"
    if not callable(found):
        raise UsageError(f"{name} is {_noun(found)}, which cannot be called: {_HELP}")
    parameters = _required(found)
    count = None if parameters is None else len(parameters)
    if count == 0:
        return "factory"
    if parameters and _FACTORY.fullmatch(getattr(found, "__name__", "")) and parameters[0] not in _OF_APPLICATIONS:
        raise UsageError(_with_parameters(name, parameters))
    for said in get_args(Interface):
        if interface == said:
            return said  # type: ignore[no-any-return]
    match count:
        case 1 if inspect.isroutine(found) or isinstance(found, partial):
            return "function"
        case 2 if _is_coroutine_function(found):
            raise UsageError(f"{name} is a coroutine function that takes 2 arguments: {_HELP}")
        case 2:
            return "wsgi"
        case 3:
            return "asgi"
        case None:
            raise UsageError(f"{name} hides its arguments: give --interface asgi or --interface wsgi")
    arguments = "one argument" if count == 1 else f"{count} arguments"
    raise UsageError(f"{name} takes {arguments}: {_HELP}, and a worker's function takes (worker)")


def _with_parameters(name: str, parameters: list[str]) -> str:
    """Return the error about a factory that needs arguments."""
    shown = ", ".join(parameters)
    return (
        f"{name}({shown}) is an application factory, which is called without arguments: give {shown} a default, "
        f"or name a function that calls it: def make(): return {name.rpartition(':')[2]}(...)"
    )


def refuse_application(made: Any, function: Callable[..., Any]) -> None:
    """Raise UsageError if what a worker's function has returned is an application: then it is a factory."""
    if callable(made):
        raise UsageError(_with_parameters(getattr(function, "__name__", "it"), _required(function) or ["its argument"]))


def _is_coroutine_function(found: Any) -> bool:
    return any(map(inspect.iscoroutinefunction, (found, _call(found))))


def _call(found: Any) -> Any:
    return getattr(found, "__call__", None)  # noqa: B004 - One may be set on the instance.


def _required(function: Callable[..., Any]) -> list[str] | None:
    """Return the names of the positional arguments that a call must have; None if they are unknown."""
    for candidate in function, _call(function):
        try:
            parameters = inspect.signature(candidate).parameters.values()
        except (TypeError, ValueError):
            continue
        kinds = {parameter.kind for parameter in parameters}
        needed = [
            p.name
            for p in parameters
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        if not needed and inspect.Parameter.VAR_POSITIONAL in kinds:
            return None
        return needed
    return None


def _words(what: str, application: Any) -> str:
    if what == "function":
        return f"function {getattr(application, '__name__', 'of a worker')}"
    if what == "daemon":
        return "Daemon"
    maker = type(application)
    # CPython 3.14 takes a partial for a routine, since it has a `__get__` there.
    if inspect.isroutine(application) and not isinstance(application, partial):
        return f"{what.upper()} function"
    return f"{what.upper()} application ({maker.__module__.partition('.')[0]}.{maker.__name__})"


def _noun(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"
