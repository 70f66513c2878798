"""The ASGI lifespan, run by prefork in the same way for every server.

Servers disagree here: with "auto" uvicorn and granian take every exception for "not supported" and serve an application
that has failed to start. What tells the two apart is whether it has taken the startup event: an application that knows
nothing of lifespan raises at once, one that has taken the event and then raises has failed.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from .._errors import SystemFailure, UsageError
from .._worker import async_loop
from .._worker.callbacks.calls import StartFailed, within

if TYPE_CHECKING:
    from .._worker.async_loop import Factory
    from .._worker.handle import Worker

State = dict[str, Any]
_CANCELS = 10
_LAST_WORDS = 1.0
"""Seconds that an application which has reported a failure may take to raise its cause, as Starlette does."""


def run(serving: Coroutine[Any, Any, None], worker: Worker[Any], factory: Factory | None = None) -> None:
    """Run a coroutine that uses `lifespan`. Raises the application's own error, with its own traceback only."""
    try:
        async_loop.run(_ended_in_time(serving, worker), worker.activity, factory)
    except StartFailed as failed:
        raise failed.error.with_traceback(failed.trace) from None


async def _ended_in_time(serving: Coroutine[Any, Any, None], worker: Worker[Any]) -> None:
    await within(serving, worker)
    if worker._drain.until_cut() == 0:
        await end_tasks()


async def end_tasks() -> None:
    """Cancel all other tasks of this loop, again and again, for half a second at most.

    The loop's runner cancels each once and waits for it: for ever where a server's task handles its cancellation by
    waiting for something else of its connection, which was cut.
    """
    for _ in range(_CANCELS):
        if not (tasks := asyncio.all_tasks() - {asyncio.current_task()}):
            return
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=0.5 / _CANCELS)


@asynccontextmanager
async def lifespan(application: Any, mode: Literal["auto", "on", "off"]) -> AsyncIterator[State | None]:
    """Start the application, yield its state, and end it.

    Yields None where it has no lifespan. If it fails to start, `run` raises what the application raised, or
    SystemFailure with its reason. A failure at its end is printed: all requests are served by then.
    """
    if mode == "off":
        yield None
        return
    life = _Life(application)
    supported = await life.start(mode == "on")
    yield life.state if supported else None
    if supported:
        await life.end()


class _Life:
    """One run of the application with a scope of type lifespan."""

    def __init__(self, application: Any) -> None:
        self.state: State = {}
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._began = False
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        returned = application(scope, self._receive, self._answers.put)
        if not hasattr(returned, "__await__"):
            kind = type(returned).__name__
            raise StartFailed(
                UsageError(f"the application returned {kind}, which cannot be awaited: is `async` missing?")
            )
        self._task = asyncio.ensure_future(returned)

    async def start(self, required: bool) -> bool:
        """Send the startup event; return whether the application supports it."""
        answer = await self._send("lifespan.startup")
        if answer is None:  # It has ended or raised instead.
            error = self._task.exception()
            if error is not None and (required or self._began):
                raise StartFailed(error)
            if error is None and required:
                raise StartFailed(
                    SystemFailure("the application's lifespan ended without an answer to lifespan.startup")
                )
            return False
        if answer["type"] == "lifespan.startup.failed":
            await asyncio.wait([self._task], timeout=_LAST_WORDS)
            if self._task.done() and (error := self._task.exception()) is not None:
                raise StartFailed(error)
            reason = answer.get("message") or "it gave no reason"
            raise StartFailed(SystemFailure(f"the application failed to start: {reason}"))
        return True

    async def end(self) -> None:
        """Send the shutdown event, and wait for the answer."""
        answer = await self._send("lifespan.shutdown")
        if answer is None and (error := self._task.exception()) is not None:
            traceback.print_exception(error)
        elif answer is not None and answer["type"] == "lifespan.shutdown.failed":
            print(f"the application failed to end: {answer.get('message') or 'it gave no reason'}", file=sys.stderr)

    async def _send(self, event: str) -> dict[str, Any] | None:
        """Send an event; return the answer, or None where the application has ended without one."""
        self._events.put_nowait({"type": event})
        answer = asyncio.ensure_future(self._answers.get())
        await asyncio.wait([answer, self._task], return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        return None

    async def _receive(self) -> dict[str, Any]:
        event = await self._events.get()
        self._began = True
        return event
