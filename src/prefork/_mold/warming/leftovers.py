"""What warming leaves behind in the mold: closed where a worker opens it again, and named where it cannot be closed.

Connections that are still open after this, and threads, are found by the stock-taking that follows (`_mold.stock`).
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from time import monotonic
from typing import Any

from ..stock.holders import holders
from ..stock.repair import executors, renew

_JOIN = 0.3
"""Seconds in which threads of an event loop that is closed end by themselves."""


class Leftovers:
    """What there was before the warming: what came after it is a leftover."""

    def __init__(self) -> None:
        self._threads = _threads()
        self._loops = list(_loops())
        self._generators = list(_generators())

    def close(self) -> list[str]:
        """Close what can be closed; return the names of the threads that remain."""
        self._end_threads()
        _close_django()
        for loop in _loops():
            if not any(loop is each for each in self._loops) and not loop.is_running():
                loop.close()
        gc.collect()  # Connections that ended threads had, and what nothing refers to any more.
        return [each.name for each in _threads() if each not in self._threads]

    def _end_threads(self) -> None:
        """End threads of executors, which start them again, and wait for a moment for those that end by themselves."""
        for executor in executors("thread", "ThreadPoolExecutor"):
            if not executor._threads <= {*self._threads} and not executor._shutdown:
                executor.shutdown()
                renew(executor)
                executor._shutdown = False
        end = monotonic() + _JOIN
        for thread in _threads():
            if thread not in self._threads:
                thread.join(max(0.0, end - monotonic()))

    def generators(self) -> Iterator[str]:
        """Yield a sentence for each generator of random numbers that the warming has made and a module holds."""
        made = [each for each in _generators() if not any(each is one for one in self._generators)]
        found = holders(made) if made else {}
        for each in made:
            if holder := found.get(id(each)):
                place = holder.place()
                from_ = f", from {place}," if place else ""
                yield (
                    f"the warming has made {holder.words}{from_} which generates random numbers: each worker gets the "
                    "same ones unless it makes its own, in a function of prefork.on_worker_start"
                )


def _threads() -> list[Any]:
    """Return the threads of Python besides the main one."""
    threading = sys.modules.get("threading")
    return [] if threading is None else [each for each in threading.enumerate() if each is not threading.main_thread()]


def _loops() -> Iterator[Any]:
    """Yield the open event loops of asyncio."""
    cls: Any = getattr(sys.modules.get("asyncio.base_events"), "BaseEventLoop", None)
    for each in gc.get_objects() if cls else ():
        if issubclass(type(each), cls) and not each.is_closed():
            yield each


def _generators() -> Iterator[Any]:
    """Yield the generators of random numbers, but for those that a fork seeds again, or that have no seed."""
    random, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    names = [(random, "Random"), (numpy, "Generator"), (numpy, "RandomState")]
    classes = tuple(filter(None, (getattr(module, name, None) for module, name in names)))
    system = getattr(random, "SystemRandom", ())
    of_tempfile = getattr(getattr(sys.modules.get("tempfile"), "_name_sequence", None), "_rng", None)
    again = (getattr(random, "_inst", None), of_tempfile)
    for each in gc.get_objects() if classes else ():
        ours = issubclass(type(each), classes) and not issubclass(type(each), system)
        if ours and not any(each is one for one in again):
            yield each


def _close_django() -> None:
    """Close Django's database connections: each worker opens its own at its first query."""
    database = sys.modules.get("django.db")
    if database is not None and hasattr(database, "connections"):
        database.connections.close_all()
