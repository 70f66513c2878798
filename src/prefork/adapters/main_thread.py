"""Requests in the main thread, for a WSGI server that has one thread for them.

An application may need the main thread: `signal.signal` and `signal.alarm` work in no other, `asyncio.get_event_loop`
makes a loop in no other, and an object of sqlite3 that was made at import belongs to the main thread of the mold, which
is that of its workers. So what a server does beside its requests goes on in another thread.
"""

from __future__ import annotations

import _thread
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Beside:
    """A function that runs in another thread, for the time of the block; what it raises the block's end raises."""

    def __init__(self, function: Callable[[], None], ended: Callable[[], object]) -> None:
        """`ended` is called in that thread when the function has returned or raised."""
        self._function = function
        self._ended = ended
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:
            self._error = error
        finally:
            self._ended()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error


class MainThread:
    """The calls of a server's thread, which this thread makes for it."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def calling(self, function: Callable[..., T]) -> Callable[..., T]:
        """Return a function that has `run` call `function`, and waits for what it returns or raises."""

        def call(*arguments: Any) -> T:
            done = _thread.allocate_lock()
            done.acquire()
            returned: list[T] = []
            raised: list[BaseException] = []

            def make() -> None:
                try:
                    returned.append(function(*arguments))
                except BaseException as error:
                    raised.append(error)
                finally:
                    done.release()

            self._calls.put(make)
            done.acquire()
            if raised:
                raise raised[0]
            return returned[0]

        return call

    def run(self, beside: Callable[[], None]) -> None:
        """Make the calls until `beside`, which runs in another thread, has returned."""
        with Beside(beside, lambda: self._calls.put(None)):
            while (call := self._calls.get()) is not None:
                call()
