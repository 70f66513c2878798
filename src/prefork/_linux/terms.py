"""Terms of a worker: limits, nice value, processors, OOM score.

The master applies them to a process before its order, so that not one instruction of the worker's function runs without
them. For an application without root they may only lower what the master has, as its user could do itself. And it does
so itself where the master has not the capabilities for it, as in most containers.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from .._records.record import record

LIMITS = {name[7:].lower(): getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
"""The number of each resource, by the name that it has in a kind's option `limits`."""

_NOT_PRIVILEGED = "an application without privileges may only lower it"


@record
class Terms:
    """What the master applies. A limit is a name, a soft and a hard value; -1 is infinity."""

    limits: tuple[tuple[str, int, int], ...] = ()
    nice: int | None = None
    affinity: tuple[int, ...] = ()
    oom_score_adj: int | None = None


def apply(pid: int, terms: Terms, privileged: bool) -> Iterator[str]:
    """Apply terms to a process; yield what failed, and why. `privileged`: whether they may raise what it has."""
    for what, raises, act in _steps(pid, terms):
        try:
            if not privileged and raises():
                yield f"{what}: {_NOT_PRIVILEGED}"
            else:
                act()
        except (OSError, ValueError, OverflowError) as error:
            yield f"{what}: {getattr(error, 'strerror', None) or error}"


def may_change(pid: int) -> bool:
    """Return whether this process may change all terms of another user's process.

    Without CAP_SYS_RESOURCE it may not even lower its limits, and without CAP_SYS_NICE set no nice value or processors.
    """
    try:
        resource.prlimit(pid, resource.RLIMIT_CORE)
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid))
    except PermissionError:
        return False
    return True


def take(key: str, terms: Sequence[Any]) -> None:
    """Apply terms to this process, the worker `key`, as far as its user may; write what failed to standard error."""
    for failed in apply(os.getpid(), Terms(*terms), False):
        print(f"{key}: running without {failed}", file=sys.stderr)


def _steps(pid: int, terms: Terms) -> Iterator[tuple[str, Callable[[], bool], Callable[[], object]]]:
    """Yield each step: its name, whether it raises a value, and the function that applies it."""
    for name, soft, hard in terms.limits:
        which = LIMITS[name]
        limit = partial(resource.prlimit, pid, which)
        wanted = _native(soft), _native(hard)
        yield f"limit {name}={soft}:{hard}", partial(_above, wanted[1], limit), partial(limit, wanted)
    if terms.affinity:
        processors = ",".join(map(str, terms.affinity))
        yield f"affinity={processors}", lambda: False, partial(os.sched_setaffinity, pid, terms.affinity)
    if (nice := terms.nice) is not None:
        current = partial(os.getpriority, os.PRIO_PROCESS, pid)
        yield f"nice={nice}", lambda: nice < current(), partial(_set_nice, pid, nice)
    if (score := terms.oom_score_adj) is not None:
        path = f"/proc/{pid}/oom_score_adj"
        yield f"oom_score_adj={score}", lambda: score < _score(path), partial(_write, path, score)


def _native(limit: int) -> int:
    """Return a limit as `resource` has it: infinity is -1 for prefork, and 2**64 - 1 for CPython 3.15."""
    return resource.RLIM_INFINITY if limit == -1 else limit


def _above(hard: int, limit: Callable[[], tuple[int, int]]) -> bool:
    _, current = limit()
    return current != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or hard > current)


def _set_nice(pid: int, nice: int) -> None:
    """Set the nice value of a process, and that of its session if it leads one.

    Where the kernel schedules by session (autogroup, sched(7)), a nice value counts within a session only, and each
    worker leads one: those of two workers would mean nothing to each other.
    """
    os.setpriority(os.PRIO_PROCESS, pid, nice)
    if os.getsid(pid) != pid:
        return
    try:
        _write(f"/proc/{pid}/autogroup", nice)
    except FileNotFoundError:
        pass  # This kernel has no autogroups.
    except BlockingIOError:
        pass  # Without CAP_SYS_ADMIN it sets ten a second, of all users; a master that waits would be worse.


def _score(path: str) -> int:
    with open(path, "rb") as file:
        return int(file.read())


def _write(path: str, number: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(number).encode())
    finally:
        os.close(descriptor)
