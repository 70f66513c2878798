"""Threads that the import has started: a fork has only the thread that forks, so that no worker has them.

Many start again by themselves: at the fork, which a trial fork shows, or at the next use, which is known of a few
libraries. Executors are renewed (`repair`). The rest is logged, with the place, the consequence and the remedy.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..forking.fork_function import fork_function
from .native import libraries
from .origins import Origins

_AT_USE = ("sentry_sdk", "pymongo", "multiprocessing", "concurrent.futures")
"""Modules whose threads start again when they are needed, in a forked process too, or that `repair` renews."""
_TRIAL = 5.0
"""Seconds that a trial fork may take: it only runs the handlers of os.register_at_fork."""
_NATIVE = {
    "libgomp": "a parallel region of OpenMP waits in a worker for ever, or until it is killed as hung",
    "cygrpc": "gRPC does not work in workers unless GRPC_ENABLE_FORK_SUPPORT=1 is set",
}
"""The start of a library's name -> what is lost with its threads."""
_NATIVE_AT_USE = ("libopenblas", "libscipy_openblas", "libmkl", "libiomp", "libomp", "libtbb")
"""Libraries that start their threads again in a forked process."""
_UNKNOWN = "its functions may wait for them for ever"
_LATER = "use it only after the fork, or --no-preload"
_REMEDY = 'start it in each worker, in its lifespan, or use --no-preload (in code: spawn="exec")'


def lost(origins: Origins) -> Iterator[str]:
    """Yield a sentence for each thread that workers will miss."""
    threads = _python_threads()
    back = _come_back() if threads else Counter()
    for thread in threads:
        if _module(thread).startswith(_AT_USE):
            continue
        if back[thread.name]:
            back[thread.name] -= 1
            continue
        place = origins.threads.get(thread.ident, "")
        from_ = f", started at {place}," if place else ""
        yield f"thread {thread.name!r}{from_} does not run in workers, and what it does is not done there: {_REMEDY}"
    for library, count in Counter(libraries(_numbers(threads))).items():
        if not library.startswith(_NATIVE_AT_USE) and not (library.startswith("cygrpc") and _grpc_forks()):
            effect = next((text for name, text in _NATIVE.items() if library.startswith(name)), _UNKNOWN)
            yield f"threads of {library} ({count}) do not run in workers: {effect}; {_LATER}"


def _grpc_forks() -> bool:
    return os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in ("1", "true")


def count_native() -> int:
    """Return how many threads this process has that Python does not know."""
    return max(0, len(os.listdir("/proc/self/task")) - 1 - len(_python_threads()))


def _python_threads() -> list[Any]:
    # Not imported for this: a process that has not imported it has no Python threads to name.
    threading = sys.modules.get("threading")
    return [] if threading is None else [each for each in threading.enumerate() if each is not threading.main_thread()]


def _numbers(threads: list[Any]) -> set[int]:
    """Return the kernel's numbers of the threads that Python does not know."""
    known = {os.getpid(), *(each.native_id for each in threads)}
    return {int(number) for number in os.listdir("/proc/self/task")} - known


def _module(thread: Any) -> str:
    """Return the module whose code the thread runs."""
    target = getattr(thread, "_target", None)
    return str(getattr(target, "__module__", None) or type(thread).__module__)


def _come_back() -> Counter[str]:
    """Return the names of the threads that a process has just after its fork: a trial one, which ends at once."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        child = fork_function()()
    except OSError:
        os.close(reader)
        os.close(writer)
        return Counter()
    if child == 0:
        try:
            os.write(writer, json.dumps([each.name for each in _python_threads()]).encode()[: select.PIPE_BUF])
        finally:
            os._exit(0)
    os.close(writer)
    waiting = select.poll()
    waiting.register(reader, select.POLLIN)
    answer = os.read(reader, select.PIPE_BUF) if waiting.poll(_TRIAL * 1000) else b""
    os.close(reader)
    os.kill(child, signal.SIGKILL)  # It ends by itself, unless a handler of a fork hangs.
    try:
        os.waitpid(child, 0)
    except ChildProcessError:
        pass  # The application ignores SIGCHLD, or reaps all children.
    try:
        return Counter(json.loads(answer))
    except ValueError:
        return Counter()
