"""Warming the application up: functions and requests, within a time limit; what they leave is closed or named.

What this needs is imported by molds that warm, and by no other.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from traceback import extract_tb
from typing import Any

from ..._errors import UsageError
from ..._wire.frames import is_own
from .alarm import Alarm, OutOfTime
from .leftovers import Leftovers

_TIDY = 2.0
"""Seconds that closing what the warming has opened may take: less than the master's patience after the warming."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What warms an application up, by name: each call returns what is wrong with it, or nothing.

    They are called one after another, `rounds` times, for `timeout` seconds altogether. `close` follows.
    """

    timeout: float
    calls: Mapping[str, Callable[[], str]]
    rounds: int = 1
    close: Callable[[], None] = lambda: None


def of_functions(functions: Iterable[Callable[[], Any]], timeout: float) -> WarmUp:
    """Return the work of functions, each of which is called once; coroutine functions get a loop of their own each."""
    return WarmUp(timeout, {f"{each.__module__}.{each.__qualname__}": _calling(each) for each in functions})


def _calling(function: Callable[[], Any]) -> Callable[[], str]:
    def call() -> str:
        if inspect.iscoroutinefunction(function):
            import asyncio

            asyncio.run(function())
        else:
            function()
        return ""

    return call


def warm(work: WarmUp) -> list[str]:
    """Do the work, and return a sentence for each failure, which fails nothing else. What is late is left out.

    Raises UsageError where this process cannot be forked any more.
    """
    before = Leftovers()
    failed, late = _within(work)
    remaining: list[str] = []
    alarm = Alarm(_TIDY)
    try:
        with alarm:
            work.close()
            remaining = before.close()
    except OutOfTime:
        raise UsageError(f"what the warming has opened could not be closed within {_TIDY:g} s") from None
    finally:
        alarm.stop()
    if late and remaining:
        raise UsageError(f"the warming was not over in time, and its threads still run: {', '.join(remaining)}")
    return [*(f"warming {name}: {reason}" for name, reason in failed.items()), *before.generators()]


def _within(work: WarmUp) -> tuple[dict[str, str], bool]:
    """Return the failures by name, and whether the time was over before each call had been made once."""
    failed: dict[str, str] = {}
    done: dict[str, None] = {}
    alarm = Alarm(work.timeout)
    try:
        with alarm:
            for name, call in [*work.calls.items()] * work.rounds:
                if name not in failed and (reason := _attempt(call, alarm)):
                    failed[name] = reason
                done[name] = None
    except OutOfTime:
        pass
    finally:
        alarm.stop()
    late = [name for name in work.calls if name not in done]
    if late:
        left = f", and {len(late) - 1} more were left out" if late[1:] else ""
        failed[late[0]] = f"not over when the {work.timeout:g} s of --warm-timeout were{left}"
    return failed, alarm.passed


def _attempt(call: Callable[[], str], alarm: Alarm) -> str:
    """Return what is wrong with a call, in a line. Raises OutOfTime."""
    try:
        reason = call()
    except OutOfTime:
        raise
    except BaseException as error:  # SystemExit, too: a failure here must not end the mold.
        reason = _described(error)
    if alarm.passed:  # The application has caught the exception, and has made another one of it.
        raise OutOfTime
    return reason


def _described(error: BaseException) -> str:
    """Return an error in a line, with the place in the application that raised it."""
    frames = [each for each in extract_tb(error.__traceback__) if not is_own(each.filename)]
    place = f" ({PurePath(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"
