"""The calls of the application that have not returned, and the end of a drain that waits for them.

A server forgets a request once its response is written, while the application works on: background tasks, `close()` of
a WSGI answer. So what decides when a drain is over is counted here, around the application, whatever a server believes.

A worker knows when the master will kill it. Some time before that (`Drain.cut_at`) it closes the connections that are
open, by which the application gets its disconnect, and cancels the tasks that go on: `finally` and the end of the
lifespan run, and the worker exits with 0.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from .._worker.draining.async_drain import AsyncDrain
from .._worker.draining.sleeper import Sleeper
from .._worker.threads import Threads

if TYPE_CHECKING:
    from .._worker.handle import Worker

GRACE = 0.02
"""Seconds after a server's end for a call that it has ordered and not yet begun, and between two looks."""
_LONGEST = 12
"""Digits of the length of a request's body: what a client announces beyond a terabyte is not counted."""
_TO_REACT, _TO_CANCEL = 0.2, 0.4
"""Shares of the time from the cut to the kill: to react to the disconnect, and then to being cancelled."""


class TaskCalls:
    """The calls of an ASGI application, each in a task of its own; a WebSocket is one as long as it is open.

    The activity counts them, and tasks are found when they are to be cancelled, by the coroutines that `functions`
    made: to note the task of each request costs as much as counting it.
    """

    def __init__(self, worker: Worker[Any], *functions: Callable[..., Any]) -> None:
        self.websockets = 0
        """Those that are open; of these the activity counts the handshake only."""
        self.cancelled = False
        """Whether the tasks were cancelled, by which their applications end."""
        self._worker = worker
        self._codes = frozenset(function.__code__ for function in functions)

    def left(self) -> bool:
        """Return whether a call has not returned."""
        return bool(self.websockets or self._worker.activity.in_flight)

    async def finish(self, serving: Awaitable[None], close_connections: Callable[[], object]) -> None:
        """Await the server's end, and then that of each call; cut what is not over at `cut_at`."""
        drain = self._worker._drain
        ending = asyncio.ensure_future(self._ended(serving))
        if not await AsyncDrain.of(drain).wait_for(ending):
            self._worker._report_cut(label for _, label in self._tasks())
            left = drain.deadline - time.monotonic()
            close_connections()
            await asyncio.wait([ending], timeout=left * _TO_REACT)
            self.cancelled = True
            for task, _ in self._tasks():
                task.cancel()
            await asyncio.wait([ending], timeout=left * _TO_CANCEL)
        if ending.done():
            ending.result()
        else:
            ending.cancel()

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`; infinity: until no call is left."""
        await (asyncio.sleep(seconds) if seconds < math.inf else self.returned())

    async def returned(self) -> None:
        """Wait until each call has returned."""
        while self.left():
            if tasks := [task for task, _ in self._tasks()]:
                await asyncio.wait(tasks)
            else:
                await asyncio.sleep(GRACE)

    async def _ended(self, serving: Awaitable[None]) -> None:
        await serving
        await self.returned()

    def _tasks(self) -> list[tuple[asyncio.Task[Any], str]]:
        """Return the task of each call, and its label."""
        return [(task, label) for task in asyncio.all_tasks() if (label := self._label(task))]

    def _label(self, task: asyncio.Task[Any]) -> str | None:
        coroutine: Any = task.get_coro()
        while (code := getattr(coroutine, "cr_code", None)) is not None:
            if code in self._codes and coroutine.cr_frame is not None:
                scope = coroutine.cr_frame.f_locals.get("scope") or {}
                return f"{scope.get('method', 'WebSocket')} {scope.get('path', '')}"
            coroutine = coroutine.cr_await  # what it waits for
        return None


def exited(error: BaseException) -> RuntimeError:
    """Return the error of a request whose application called `sys.exit()`: the worker serves the others on.

    An event loop would end by the original, and waitress would leave the client without an answer.
    """
    return RuntimeError(f"the application raised {error!r} in a request")


class ThreadCalls:
    """The calls of a WSGI application, from the call to the end of `close()`, in whatever threads they are."""

    def __init__(self, worker: Worker[Any], threads: int) -> None:
        """`threads`: how many there are, each for one call at a time; 0 where it is not known. Raises OSError."""
        self._worker = worker
        self._sleeper = Sleeper(worker._drain)
        self._activity = worker.activity
        self._threads = counts = Threads(worker.activity, threads)
        self._thread = threading.local()
        # As they are: a call more would cost as much as a count.
        self.end, self.labels = counts.end, counts.labels
        self.wait, self.go_on, self.waiting = counts.wait, counts.go_on, counts.waiting

    def begin(self, environ: dict[str, Any]) -> int:
        """Count one more, by its environ; return its number."""
        try:
            thread: int = self._thread.number
        except AttributeError:
            thread = self._know_thread()
        length = environ.get("CONTENT_LENGTH")
        if length and len(length) <= _LONGEST and length.isdecimal():
            self._activity.received(int(length))
        return self._threads.begin(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", thread)

    def left(self) -> bool:
        """Return whether a call has not returned."""
        return bool(self.labels())

    def finish(self, serving: Iterator[float], close_connections: Callable[[], object]) -> None:
        """Sleep as long as the server's end takes, and each call; close the connections at `cut_at`.

        `serving` yields seconds to sleep; infinity: until no call is left. A thread cannot be cancelled: what does not
        end by that is killed by the master.
        """
        cut, drain = False, self._worker._drain
        self._threads.none_left = self._sleeper.wake
        for seconds in chain(serving, self._ended()):
            if not cut and drain.until_cut() == 0:
                cut = True
                self._worker._report_cut(self.labels())
                close_connections()
            if seconds < math.inf or self.left():
                self._sleeper.sleep(seconds)

    def _know_thread(self) -> int:
        """Return the system's number of this thread, which it costs a system call to ask for.

        And let threads that this one starts be as those that the main thread starts: at its exit Python waits for them.

        The threads of servers are daemons, or count as such where Python has not started them, and what a daemon starts
        is one, too. There is no public way to change it in a thread that runs; this one itself stays a daemon.
        """
        threading.current_thread()._daemonic = False  # type: ignore[attr-defined]
        self._thread.number = number = threading.get_native_id()
        return number

    def _ended(self) -> Iterator[float]:
        requests = -1
        while self.left() or requests != self._activity.requests:
            requests = self._activity.requests
            yield math.inf if self.left() else GRACE
