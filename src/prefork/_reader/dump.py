"""The stacks of a process at one moment, as text in the form of faulthandler."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep
from typing import Any

from .unwinder import COMPLETE, Frame, Task, Thread, Unwinder

_LOOKS, _PAUSE = 5, 0.02
"""How often the holder of the GIL is read, and the seconds between: one that has it each time keeps it."""

_MOST_TASKS = 30
_MOST_FRAMES = 100
_LONGEST = 256 * 1024
"""Characters of all stacks."""


def dumped(pid: int) -> dict[str, Any]:
    """Return `text`, `gil`, `waits` and `complete`. Raises Unreadable.

    `gil`: the thread that keeps the GIL, 0 for none; `waits`: the main thread waits for it; `complete`: see `unwinder`.
    """
    unwinder = Unwinder(pid)
    looks = [threads := unwinder.threads()]
    for _ in range(_LOOKS - 1):
        sleep(_PAUSE)
        looks.append(unwinder.threads())
    holders = [next((thread for thread in look if thread.holds_gil), None) for look in looks]
    holder = holders[0] if len({one and one.tid for one in holders}) == 1 else None
    gil = holder.tid if holder is not None else 0
    places: set[object] = {one and one.frames[:1] for one in holders}
    waits = gil not in (0, pid) and _waits([look[0] for look in looks if look], places)
    running = {frame for thread in threads for frame in thread.frames}
    lines = [line for thread in threads for line in _thread(thread, gil)]
    if not COMPLETE:
        lines.append("Python 3.14 reads no callers beyond a call from C")
    text = "\n".join([*lines, *_tasks(unwinder.tasks(), running)])
    return {"text": text[:_LONGEST], "gil": gil, "waits": waits, "complete": COMPLETE}


def _waits(main: list[Thread], places: set[object]) -> bool:
    """Return whether the main thread waits for the GIL, which another one keeps at these places.

    Where it is not to be seen, it waits if the other one does not leave a line: for it has not run its signal handler.
    """
    known = [thread.wants_gil for thread in main if thread.wants_gil is not None]
    return all(known) if known else len(places) == 1


def _thread(thread: Thread, gil: int) -> Iterator[str]:
    holds = ", which holds the GIL" if thread.tid == gil else ""
    yield f"Thread {thread.tid}{holds} (read from outside, most recent call first):"
    yield from (_line(frame) for frame in thread.frames[:_MOST_FRAMES])
    if len(thread.frames) > _MOST_FRAMES:
        yield "  ..."


def _line(frame: Frame) -> str:
    return f'  File "{frame.filename}", line {frame.line} in {frame.function}'


def _tasks(tasks: list[Task], running: set[Frame]) -> Iterator[str]:
    """Yield a line for each task. `running`: the frames of all threads, by which the task that runs is known."""
    if tasks:
        yield f"{len(tasks)} tasks"
    for task in tasks[:_MOST_TASKS]:
        does = "runs" if task.frames[:1] and task.frames[0] in running else "waits"
        awaited = f"; awaited by {', '.join(task.awaited_by)}" if task.awaited_by else ""
        yield f"  {task.name} {does} at {_place(task)}{awaited}"


def _place(task: Task) -> str:
    """Return the innermost line of a task, outside asyncio where there is one."""
    outside = [frame for frame in task.frames if "/asyncio/" not in frame.filename]
    for frame in [*outside, *task.frames]:
        return f'"{frame.filename}", line {frame.line} in {frame.function}'
    return "?"
