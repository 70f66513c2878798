"""An application for molds under test: it does what its arguments, settings and contexts say.

What only some of its ways need is imported there: each module in the mold, and threading above all, adds to
what a fork costs, and the benchmark is to see an application that has nothing.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prefork._mold import mold
from prefork._options.records import DaemonOptions
from prefork._worker.handle import Worker

if TYPE_CHECKING:
    from prefork._worker.assignment import Assignment

Json = Any


class Scripted:
    def __init__(self, arguments: dict[str, Json]) -> None:
        self.arguments = arguments
        self.plans = 0
        self.pid = os.getpid()

    def load(self) -> None:
        for name, value in self.arguments.items():
            getattr(self, f"load_{name}", lambda value: None)(value)

    def load_raise(self, text: str) -> None:
        raise ValueError(text)

    def load_import(self, name: str) -> None:
        __import__(name)

    def load_exit(self, status: int) -> None:
        os._exit(status)

    def load_segfault(self, address: int) -> None:
        import ctypes
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        ctypes.string_at(address)

    def load_hang(self, seconds: int) -> None:
        time.sleep(seconds)

    def load_heap(self, megabytes: int) -> None:
        """Small containers, as an application's heap consists of them."""
        self.heap = [[str(n), {"n": n}] for n in range(megabytes * 2_400)]

    def load_warnings(self, action: Any) -> None:
        import warnings

        warnings.simplefilter(action)

    def load_thread(self, name: str) -> None:
        import threading

        threading.Thread(target=threading.Event().wait, name=name, daemon=True).start()

    def load_processes(self, most: int) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))

    def load_intermediate(self, what: dict[str, Json]) -> None:
        """Send the intermediate a signal right after its n-th fork, before it has announced that one."""
        mold = os.getpid()
        forks = 0

        def after_fork() -> None:
            nonlocal forks
            if os.getppid() == mold:
                forks += 1
                if forks == what["fork"]:
                    os.kill(os.getpid(), what["signal"])

        os.register_at_fork(after_in_parent=after_fork)

    def load_ignore_children(self, _: bool) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    def load_reap_all(self, _: bool) -> None:
        """Reap each child of the mold's before anybody else can."""
        mold = os.getpid()
        os.register_at_fork(after_in_parent=lambda: os.getpid() == mold and os.waitpid(-1, 0))

    def load_files(self, path: str) -> None:
        import tempfile

        self.file = open(path, "w")  # noqa: SIM115
        self.temporary = tempfile.TemporaryDirectory()

    def use_files(self, assignment: Assignment, context: Json) -> None:
        """Leave something in the buffer of a file of the mold's, and tell where the mold's directory is."""
        self.file.write(f"{assignment.key}\n")
        with open(context["answer"], "w") as answer:
            answer.write(self.temporary.name)

    def load_count_forks(self, path: str) -> None:
        """Make the file longer by one byte for each fork here and in all that is forked from here."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.register_at_fork(after_in_parent=lambda: os.write(descriptor, b"f"))

    def plan(self) -> Json:
        self.plans += 1
        script = self.arguments.get("plans", {}).get(str(self.plans), {})
        if "raise" in script:
            raise ValueError(script["raise"])
        if "size" in script:
            return ["x" * 100] * script["size"]
        return {"plans": self.plans, "uid": os.getuid(), "groups": list(os.getgroups()), "argv": sys.argv}

    def before_fork(self) -> None:
        if self.arguments.get("before_fork"):
            raise ValueError(self.arguments["before_fork"])

    def rehearsal(self, key: str, context: Json) -> Callable[[Assignment], None]:
        """Nothing that a worker does here is worth it: who rehearses writes it down, or is told to drain meanwhile."""

        def rehearse(assignment: Assignment) -> None:
            assignment.listeners["rehearsal"].close()
            if path := self.arguments.get("rehearsals"):
                with open(path, "a") as file:
                    file.write(f"{os.getpid()}\n")
            if self.arguments.get("drained_in_rehearsal") and os.getpid() != self.pid:
                os.kill(os.getpid(), signal.SIGTERM)

        return rehearse

    rehearsal_of_spare = rehearsal

    def worker(self, key: str, context: dict[str, Json]) -> Callable[[Assignment], None]:
        if context["do"] == "use_files":
            return lambda assignment: self.use_files(assignment, context)
        function = _FUNCTIONS[context["do"]]
        return lambda assignment: function(assignment, context)


def run(arguments: dict[str, Json]) -> None:
    application = Scripted(arguments)
    application.load()
    assert mold.own is not None
    mold.own.serve(application, DaemonOptions())  # type: ignore[arg-type]


def describe(assignment: Assignment, context: Json) -> bytes:
    with open("/proc/self/cmdline", "rb") as cmdline:
        title = cmdline.read().rstrip(b"\0").decode()
    return json.dumps(
        {
            "pid": os.getpid(),
            "ppid": os.getppid(),
            "sid": os.getsid(0),
            "title": title,
            "key": assignment.key,
            "generation": assignment.generation,
            "extra": os.environ.get("EXTRA"),
            "descriptors": sorted(os.readlink(f"/proc/self/fd/{each}") for each in _descriptors()),
            "context": context,
        }
    ).encode()


def _descriptors() -> list[int]:
    found = []
    for each in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(each))
        except OSError:
            continue  # the one that listed them
        found.append(int(each))
    return found


def serve(assignment: Assignment, context: Json) -> None:
    for connection, _ in Worker(context, assignment).accept("http"):
        with connection:
            connection.sendall(describe(assignment, context))


def serve_async(assignment: Assignment, context: Json) -> None:
    # Here, for the mold's heap to be as small as that of an application without asyncio.
    import asyncio

    from prefork._worker.async_handle import AsyncWorker

    async def main() -> None:
        worker = AsyncWorker(context, assignment)
        loop = asyncio.get_running_loop()
        async for connection, _ in worker.accept("http"):
            with connection:
                await loop.sock_sendall(connection, describe(assignment, context))

    asyncio.run(main())


def wait(assignment: Assignment, context: Json) -> None:
    Worker(context, assignment).wait_draining()


def worn(assignment: Assignment, context: Json) -> None:
    Worker(context, assignment).request_replacement("enough")
    wait(assignment, context)


def fail(assignment: Assignment, context: Json) -> None:
    raise ValueError(context["text"])


def leave(assignment: Assignment, context: Json) -> None:
    sys.exit(context["status"])


def ready_then_hang_in_c(assignment: Assignment, context: Json) -> None:
    import ctypes

    Worker(context, assignment).ready()
    ctypes.PyDLL(None).sleep(600)


def linger(assignment: Assignment, context: Json) -> None:
    import threading

    threading.Thread(target=threading.Event().wait, name="lingering").start()


def linger_and_fail(assignment: Assignment, context: Json) -> None:
    linger(assignment, context)
    raise ValueError("of this thread, not of the other")


def fork_a_child(assignment: Assignment, context: Json) -> None:
    """Fork as multiprocessing does it, send the child TERM, and end draining or not."""
    worker = Worker(context, assignment)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, b"!")
        while True:
            time.sleep(0.01)
    # CPython forgets what a child is signalled before its fork() has returned there.
    os.read(told, 1)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    with socket.socket(socket.AF_UNIX) as answer:
        answer.connect(context["answer"])
        answer.sendall(json.dumps([os.waitstatus_to_exitcode(status), worker.draining]).encode())


_FUNCTIONS: dict[str, Callable[[Assignment, Json], None]] = {
    each.__name__: each
    for each in (
        serve,
        serve_async,
        wait,
        worn,
        fail,
        leave,
        ready_then_hang_in_c,
        linger,
        linger_and_fail,
        fork_a_child,
    )
}
