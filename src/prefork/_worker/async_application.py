"""The life of a worker whose function is a coroutine function. A module of its own, since asyncio is a large import."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

from ._async_loop import run
from ._async_worker import AsyncWorker

Function = Callable[[AsyncWorker[Any]], Awaitable[object]]


def live(worker: AsyncWorker[Any], function: Function, lifespan: Callable[..., Any] | None) -> None:
    """Run the worker's function in an event loop, within its lifespan: a generator, or an asynchronous one."""
    run(_live(worker, function, lifespan), worker.activity)


async def _live(worker: AsyncWorker[Any], function: Function, lifespan: Callable[..., Any] | None) -> None:
    if lifespan is not None and inspect.isasyncgenfunction(lifespan):
        async with asynccontextmanager(lifespan)(worker):
            await function(worker)
        return
    with contextmanager(lifespan)(worker) if lifespan else nullcontext():
        await function(worker)
