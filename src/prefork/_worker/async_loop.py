"""Event loops that report, in the worker's row, when they work and when they wait, so that a blocked loop is detected.

asyncio's own loop reports from its selector, where it waits: nothing is added to a callback, nothing wakes up for it,
and a blocked loop is detected whether or not a request is in flight. For uvloop, which has no such place, a timer
reports that it still turns, while requests are in flight.
"""

from __future__ import annotations

import _thread
import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activity import Activity

Factory = Callable[[], asyncio.AbstractEventLoop]

_BEATS = 6
"""Reports in one `hang_timeout` of a loop without a reporting selector."""
_LATE = 0.05
"""Seconds: a turn of the loop that takes longer is counted."""


def run(main: Coroutine[Any, Any, None], activity: Activity, factory: Factory | None = None) -> None:
    """Run a coroutine as `asyncio.run` does, in a loop that reports; `factory` makes another loop than asyncio's."""
    activity.loop_thread = _thread.get_ident()
    try:
        with asyncio.Runner(loop_factory=lambda: _make_loop(activity, factory)) as runner:
            runner.run(main)
    finally:
        activity.loop_ended()


def _make_loop(activity: Activity, factory: Factory | None) -> asyncio.AbstractEventLoop:
    loop = (factory or asyncio.new_event_loop)()
    if type(loop) is asyncio.SelectorEventLoop:
        loop.close()
        return asyncio.SelectorEventLoop(_ReportingSelector(activity))
    if activity.hang_timeout > 0:
        activity.pulse = _Pulse(loop, activity).start
    return loop


class _ReportingSelector(selectors.DefaultSelector):
    """The selector that a loop waits in."""

    def __init__(self, activity: Activity) -> None:
        super().__init__()
        self._activity = activity
        self._since = math.inf  # when the loop's turn began

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as any selector; the loop works from the return to the next call."""
        if (held := monotonic() - self._since) > _LATE:
            self._activity.held(held)
        self._activity.waits()
        ready = super().select(timeout)
        self._since = self._activity.works()
        return ready


class _Pulse:
    """The timer of a loop, from the first request to the moment when none is in flight any more.

    While it runs the activity has no pulse to start, so that requests that come meanwhile pay nothing for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, activity: Activity) -> None:
        self._loop = loop
        self._activity = activity
        self._thread = _thread.get_ident()

    def start(self) -> None:
        """Start the timer: a request has begun while none was in flight."""
        if _thread.get_ident() == self._thread:
            self._activity.pulse = None
            self._turn()

    def _turn(self) -> None:
        if self._activity.in_flight:
            self._activity.works()
            self._loop.call_later(self._activity.hang_timeout / _BEATS, self._turn)
        else:
            self._activity.pulse = self.start
            self._activity.waits()
