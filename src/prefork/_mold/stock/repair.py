"""What the import has started that can be made to work in a forked process: done at each fork from the mold."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any


class Repairs:
    """What is to be done in the child after a fork; nothing, and no handler of forks, where nothing needs it."""

    def __init__(self) -> None:
        self._executors: list[Any] = []
        self._registered = False

    def prepare(self) -> None:
        """Find what needs a repair. Called before the first fork, and again after each plan."""
        self._executors = [each for each in executors("thread", "ThreadPoolExecutor") if each._threads]
        if (self._executors or _uses_multiprocessing()) and not self._registered:
            self._registered = True
            os.register_at_fork(after_in_child=self._in_child)

    def _in_child(self) -> None:
        for executor in self._executors:
            renew(executor)
        if self._executors:
            # Else the exit of the interpreter would wake and join threads that this process does not have.
            sys.modules["concurrent.futures.thread"]._threads_queues.clear()
        process, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
        if process is not None and util is not None:
            # As multiprocessing begins its own children: else each worker's exit would end the mold's ones.
            process._children = set()  # type: ignore[attr-defined]
            util._finalizer_registry.clear()
            util._run_after_forkers()
        if (server := _fork_server()) is not None:
            _give_up(server)


def executors(module: str, name: str) -> list[Any]:
    """Return the executors of this class of `concurrent.futures` that there are."""
    cls = getattr(sys.modules.get(f"concurrent.futures.{module}"), name, None)
    return [] if cls is None else [each for each in gc.get_objects() if issubclass(type(each), cls)]


def renew(executor: Any) -> None:
    """Let an executor start its threads again; the calls that wait in it are the mold's."""
    import queue
    import threading

    executor._threads = set()
    executor._idle_semaphore = threading.Semaphore(0)
    executor._work_queue = queue.SimpleQueue()
    executor._shutdown_lock = threading.Lock()


def _uses_multiprocessing() -> bool:
    process, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
    started = getattr(process, "_children", None) or getattr(util, "_finalizer_registry", None)
    return bool(started) or _fork_server() is not None


def _fork_server() -> Any:
    """Return the fork server by which multiprocessing starts processes, from Python 3.14 on by default, if it runs."""
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    return server if getattr(server, "_forkserver_pid", None) is not None else None


def _give_up(server: Any) -> None:
    """Let this process start a fork server of its own: the mold's is no child of it, and its first use would raise."""
    os.close(server._forkserver_alive_fd)
    new = type(server)()
    new._preload_modules = server._preload_modules
    vars(server).update(vars(new))  # The functions of the module are methods of this object.
