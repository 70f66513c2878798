"""Start of a worker by exec: this program again, in the role of a worker.

With it, the executor of the hooks interface.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from .._core.actions import Action, Announce, KillWorker, Reply, Report, SendSignal, Watch
from .._core.events import ContextRefused, ContextTaken, ProcessesExited, ProcessExit, WorkerReady
from .._errors import InternalError, SystemFailure, UsageError
from .._linux import descriptors, lifeline
from .._linux.program import Program, current_directory
from .._linux.terms import apply
from .._master.control.replies import Replies
from .._master.loop import Master
from .forks import reset_children
from .image import WorkerImage
from .role import ENVIRONMENT_KEY, WorkerLaunch


class Spawner:
    """Starts workers by executing the program again, and receives from each whether it could decode its
    context, and whether it is ready.

    As the master's executor it watches and signals children for the decider of hooks; the hooks do the rest.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self.replies = Replies()
        self._names: dict[int, str] = {}
        self._started: list[int] = []
        self._partial = b""

    @contextmanager
    def attached(self, master: Master) -> Iterator[None]:
        """Work for this master, with two pipes that all its workers share: the lifeline, and one for their reports."""
        with ExitStack() as stack:
            self._lifeline, write_end = lifeline.create()
            self._reports, self._reports_write_end = os.pipe2(os.O_CLOEXEC)
            for descriptor in (self._lifeline, write_end, self._reports, self._reports_write_end):
                stack.callback(os.close, descriptor)
            os.set_blocking(self._reports, False)
            stack.enter_context(reset_children(master.signals, write_end))
            self._master = master
            master.selector.register(self._reports, selectors.EVENT_READ, self._receive)
            stack.callback(master.selector.unregister, self._reports)
            yield

    def name(self, pid: int) -> str | None:
        """Return the key of the worker that `start` made of this pid; None for any other process."""
        return self._names.get(pid)

    def take_started(self) -> list[int]:
        """Return the pids of the workers started since the last call."""
        started, self._started = self._started, []
        return started

    def forget(self, pid: int) -> None:
        """Forget a process that has ended: its pid may become another's."""
        self._names.pop(pid, None)

    def start(self, image: WorkerImage) -> int:
        """Start a worker; return its pid.

        Raises UsageError for an image that can never be started (no program, a descriptor that is not open) and
        SystemFailure if the system refuses (no process, descriptor or memory left).
        """
        argv = self._program.again(image.interpreter_options, image.arguments)
        for descriptor in image.descriptors:
            _check_inheritable(image.key, descriptor)
        try:
            with ExitStack() as parents:
                return self._start(image, argv, parents)
        except OSError as error:
            raise SystemFailure(f"cannot start worker {image.key}: {error}") from error

    def perform(self, action: Action) -> None:
        """Watch a child, send it a signal, or log a report."""
        match action:
            case Watch(pid):
                try:
                    self._master.exits.watch(pid)
                except UsageError:  # At once: a hook may not get, and signal, a pid that is not a child's.
                    self._master.enqueue(ProcessesExited((ProcessExit(pid, None),)), at_once=True)
                    with suppress(BlockingIOError):
                        self._receive(at_once=True)  # What it has reported comes before its end.
            case SendSignal(pid, name):
                if self._master.exits.watches(pid):  # Otherwise it has been reaped, and the number may be another's.
                    os.kill(pid, signal.Signals[f"SIG{name}"])
            case KillWorker(pid):
                if self._master.exits.watches(pid):
                    _kill_session(pid)
            case Report(text):
                self._master.relay.log(text)
            case Reply():
                self.replies.deliver(action)
            case Announce():
                pass  # It is for observers.
            case _:
                raise InternalError(f"the hooks interface has no {action}")

    def reaped(self, exits: tuple[ProcessExit, ...]) -> None:
        """Pass on that watched children have ended."""
        self._master.enqueue(ProcessesExited(exits))

    def children_changed(self) -> None:
        """Do nothing: children that no hook returned are the program's own."""

    def settled(self) -> bool:
        """Return True: the decider has waited for every child."""
        return True

    def _start(self, image: WorkerImage, argv: list[str], parents: ExitStack) -> int:
        def pipe() -> tuple[int, int]:
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
            parents.callback(os.close, write_end)
            ours.callback(os.close, read_end)
            return read_end, write_end

        with ExitStack() as ours:
            out, out_write_end = pipe()
            err, err_write_end = pipe()
            launch = WorkerLaunch(image.key, self._lifeline, self._reports_write_end, image.descriptors)
            memfd = launch.seal(image.context)
            parents.callback(os.close, memfd)
            inherited = (memfd, self._lifeline, self._reports_write_end, *image.descriptors)
            actions = [
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, out_write_end, 1),
                (os.POSIX_SPAWN_DUP2, err_write_end, 2),
                # Onto itself: so that only this child inherits the descriptor (posix_spawn(3)).
                *((os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in inherited),
            ]
            environment = {**self._program.environ_now(), **image.environ, ENVIRONMENT_KEY: f"worker:{memfd}"}
            descriptors.close_on_exec()
            with _directory(self._program.directory):
                pid = os.posix_spawn(
                    argv[0],
                    argv,
                    environment,
                    file_actions=actions,
                    # In a session of its own Ctrl-C reaches the master only, and a debugger in the worker can read.
                    setsid=True,
                    setsigmask=[signal.SIGINT],
                    setsigdef=[signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
                )
            ours.pop_all()
        self._names[pid] = image.key
        self._started.append(pid)
        self._master.relay.add(pid, out, err)
        for failed in apply(pid, image.terms, privileged=True):  # It has this process's rights.
            self._master.relay.log(f"prefork: {image.key}: running without {failed}")
        return pid

    def _receive(self, at_once: bool = False) -> None:
        *lines, self._partial = (self._partial + os.read(self._reports, 64 * 1024)).split(b"\n")
        for report in map(json.loads, reversed(lines) if at_once else lines):
            pid, reason = report["pid"], report["reason"]
            if report.get("ready"):
                self._master.enqueue(WorkerReady(pid), at_once=at_once)
            else:
                event = ContextTaken(pid) if reason is None else ContextRefused(pid, reason)
                self._master.enqueue(event, at_once=at_once)


def _check_inheritable(key: str, descriptor: int) -> None:
    if descriptor <= 2:
        raise UsageError(f"worker {key}: descriptor {descriptor} cannot be inherited: give an open one above 2")
    try:
        os.fstat(descriptor)
    except OSError as error:
        raise UsageError(f"worker {key}: descriptor {descriptor} cannot be inherited: {error.strerror}") from None


def _kill_session(pid: int) -> None:
    """Kill a child with the group that it leads; alone where it leads none, as one that a hook has forked."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)


@contextmanager
def _directory(path: str | None) -> Iterator[None]:
    """Change to the directory that the program was started in, so that relative paths in its command are valid.

    If it has been removed, stay in the present one.
    """
    if path is None or path == current_directory():
        yield
        return
    back = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # O_PATH: it need not be readable.
    try:
        with suppress(FileNotFoundError):
            os.chdir(path)
        yield
    finally:
        os.fchdir(back)
        os.close(back)
