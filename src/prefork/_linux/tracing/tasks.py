"""The tasks of an event loop, for the stacks that a process writes of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_MOST_TASKS = 30


def tasks(asyncio: Any) -> Iterator[str]:
    """Yield a line for each task of the running loop: where it waits, and from Python 3.14 on what awaits it."""
    try:
        every = list(asyncio.all_tasks(asyncio.get_running_loop()))
        current = asyncio.current_task()
    except RuntimeError:
        return  # There is no loop in this thread.
    yield f"{len(every)} tasks\n" if every else ""
    for task in every[:_MOST_TASKS]:
        if task is not current:
            yield f"  {task.get_name()} waits at {_place(task.get_coro())}{_awaited(task)}\n"


def _awaited(task: Any) -> str:
    """Return which tasks await a task. asyncio has a set of them for `asyncio.capture_call_graph`."""
    waiters = getattr(task, "_asyncio_awaited_by", None) or ()
    names = sorted(waiter.get_name() for waiter in waiters if hasattr(waiter, "get_name"))
    return f"; awaited by {', '.join(names)}" if names else ""


def _place(awaited: Any) -> str:
    """Return the innermost line of a suspended coroutine, outside asyncio where there is one."""
    place = "?"
    for _ in range(100):  # However long the chain is.
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        frame = frame or getattr(awaited, "ag_frame", None)
        if frame is None:
            break
        if place == "?" or "/asyncio/" not in frame.f_code.co_filename:
            place = f'"{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}'
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return place
