"""The stacks of another process, read from its memory: by the standard library of Python 3.14 and later.

`_remote_debugging` is the module beneath `python -m pdb -p`, `python -m asyncio ps` and `profiling.sampling`. It is
private, so that its forms are known here alone, and whatever it raises becomes `Unreadable`. It reads with
process_vm_readv(2): the process is not stopped, and none of its code runs.

- 3.14 has the frames of each thread up to the first call from C: callers beyond it are missing (`COMPLETE` is false).
  The thread that holds the GIL is asked for on its own.
- 3.15 has all frames, and a word for each thread that says whether it holds the GIL.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, TypeVar

from .._records.record import record

COMPLETE = sys.version_info >= (3, 15)
"""Whether the callers of a function that C code has called are seen."""

_ATTEMPTS = 20
"""A process that runs changes its frames while they are read, so that some reads fail."""

_YAMA = "/proc/sys/kernel/yama/ptrace_scope"

T = TypeVar("T")


class Unreadable(Exception):
    """The stacks cannot be read; the text says why, and what is missing."""


@record
class Frame:
    """A line of a function."""

    filename: str
    line: int
    function: str


@record
class Thread:
    """A thread of the process, by the number that the kernel knows; the innermost frame is the first.

    `wants_gil`: it waits for the GIL; None where that is not to be seen (3.14).
    """

    tid: int
    frames: tuple[Frame, ...]
    holds_gil: bool = False
    wants_gil: bool | None = None


@record
class Task:
    """A task of an event loop: its suspended frames, the innermost first, and the names of what awaits it."""

    name: str
    frames: tuple[Frame, ...]
    awaited_by: tuple[str, ...]


class Unwinder:
    """Reads one process. Raises Unreadable."""

    def __init__(self, pid: int) -> None:
        try:
            of: Any = import_module("_remote_debugging")  # By name: type checkers do not know it.
        except ImportError:
            version = ".".join(map(str, sys.version_info[:2]))
            raise Unreadable(f"Python {version} cannot read stacks of other processes; 3.14 and later can") from None
        self._pid = pid
        self._all = self._tried(lambda: of.RemoteUnwinder(pid, all_threads=True))
        self._active: Any = None if COMPLETE else self._tried(lambda: of.RemoteUnwinder(pid, only_active_thread=True))
        self._has_gil = getattr(of, "THREAD_STATUS_HAS_GIL", 0)
        self._wants_gil = getattr(of, "THREAD_STATUS_GIL_REQUESTED", 0)

    def threads(self, attempts: int = _ATTEMPTS) -> list[Thread]:
        """Return the threads that run Python code, the main one first. Raises Unreadable if no attempt succeeds."""
        if COMPLETE:
            found = self._tried(self._all.get_stack_trace, attempts)
            threads = [self._with_status(each) for one in found for each in one.threads]
        else:
            active = {each.thread_id for each in self._tried(self._active.get_stack_trace, attempts)}
            found = self._tried(self._all.get_stack_trace, attempts)
            threads = [_thread(each, each.thread_id in active) for each in found]
        return sorted(threads, key=lambda thread: (thread.tid != self._pid, thread.tid))

    def _with_status(self, seen: Any) -> Thread:
        return _thread(seen, seen.status & self._has_gil > 0, seen.status & self._wants_gil > 0)

    def tasks(self) -> list[Task]:
        """Return the tasks of all event loops; none where asyncio is not loaded or cannot be read."""
        try:
            found = self._tried(self._all.get_all_awaited_by)
        except Unreadable:
            return []
        tasks = [task for each in found for task in each.awaited_by]
        names = {task.task_id: str(task.task_name) for task in tasks}
        return [Task(str(task.task_name), tuple(_stack(task)), tuple(_waiters(task, names))) for task in tasks]

    def _tried(self, read: Callable[[], T], attempts: int = _ATTEMPTS) -> T:
        for attempt in range(attempts):
            try:
                return read()
            except PermissionError:
                raise Unreadable(_missing_right(self._pid)) from None
            except ProcessLookupError:
                raise Unreadable("it has ended") from None
            except Exception as error:
                if isinstance(error, OSError) and error.errno == errno.EPERM:
                    raise Unreadable(_missing_right(self._pid)) from None
                if attempt + 1 == attempts:
                    raise Unreadable(f"its memory has another form than expected: {_text(error)}") from None
        raise AssertionError("at least one attempt")


def _thread(seen: Any, holds_gil: bool, wants_gil: bool | None = None) -> Thread:
    return Thread(int(seen.thread_id), tuple(map(_frame, seen.frame_info)), holds_gil, wants_gil)


def _frame(seen: Any) -> Frame:
    line = seen.location.lineno if COMPLETE and seen.location is not None else getattr(seen, "lineno", 0)
    return Frame(str(seen.filename), int(line or 0), str(seen.funcname))


def _stack(task: Any) -> Iterator[Frame]:
    for part in task.coroutine_stack:
        yield from map(_frame, part.call_stack)


def _waiters(task: Any, names: dict[int, str]) -> Iterator[str]:
    for part in task.awaited_by:
        yield names.get(part.task_name, str(part.task_name))


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _missing_right(pid: int) -> str:
    """Return which right is missing to read a process (ptrace(2), "Ptrace access mode checking")."""
    uids = _field(pid, "Uid").split()
    own = str(os.geteuid())
    if uids and any(uid != own for uid in uids):
        why = f"it runs as uid {uids[0]} and the reader as uid {own}, without CAP_SYS_PTRACE"
    elif int(_field(pid, "CapPrm") or "0", 16) & ~int(_field(os.getpid(), "CapPrm") or "0", 16):
        why = "it has capabilities that the reader does not have, which lacks CAP_SYS_PTRACE"
    elif (scope := _yama()) != "0":
        why = f"kernel.yama.ptrace_scope is {scope}, and the reader lacks CAP_SYS_PTRACE"
    else:
        why = "it has changed its user or is not dumpable, and the reader lacks CAP_SYS_PTRACE"
    return f"no permission to read its memory: {why}"


def _field(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next((line.partition(":")[2].strip() for line in file if line.startswith(f"{name}:")), "")
    except OSError:
        return ""


def _yama() -> str:
    try:
        with open(_YAMA, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "0"  # This kernel does not have it.
