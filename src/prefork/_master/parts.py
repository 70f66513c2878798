"""A whole master, put together: of a daemon that starts, or of what a former program of it has left (`upgrade`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import time
from typing import TYPE_CHECKING, Any

from .._core.plan import Spec
from .._core.supervisor import Supervisor
from .._records.members import field
from .._records.record import record
from .._report.journal import Journal
from .adoption.left import left
from .births.launches import launching_from
from .births.open_files import allow_most
from .control.admission import Admission, group_id
from .control.place import Place, opened
from .control.replies import Replies
from .control.server import Control
from .control.view import DaemonView, Means, Origin
from .executor import DaemonExecutor, Outputs
from .identity.pid_file import PidFile
from .log.farewell import Farewell
from .log.log import Log, LogOptions
from .observers import Banner, Headline, Recorder
from .runtime.presence import Presence, Runtime
from .service.notify import Manager
from .store.store import Store
from .upgrade.ways import Way, present
from .watching.notices import Watch

if TYPE_CHECKING:
    from .._core.events import Event
    from .._wire.launch import MasterLaunch
    from .adoption.found import Found
    from .loop import Master, Observer


@record
class Basis:
    """What a master has before its parts are made.

    `open_files`: the soft limit that processes get. `started`: when the daemon was (since 1970). `way`: this program.
    `place`: the control socket, None where it is to be made. `written`: the launch as the launching process wrote it,
    which may be of another version; empty at the start. `unknown`: sections of the snapshot that another version has
    written, for the way back to it. `adopted`: the workers of a master that was killed.
    """

    launch: MasterLaunch
    runtime: Runtime
    supervisor: Supervisor
    journal: Journal
    open_files: int
    started: float
    way: Way
    place: Place | None = None
    written: Mapping[str, Any] = field(default_factory=dict)
    unknown: Mapping[str, Any] = field(default_factory=dict)
    adopted: Found | None = None


def started(launch: MasterLaunch, master: Master) -> Basis:
    """Return the basis of a daemon that starts. Raises UsageError if it runs already, and SystemFailure."""
    open_files = allow_most()  # First: a master that adopts gets descriptors from each worker.
    runtime = Runtime.claimed(launch, master.relay.log)
    spec = Spec(name=launch.name, options=launch.options)
    adopted = left(launch, runtime, master.relay.log)
    supervisor = Supervisor(spec, int.from_bytes(os.urandom(8))) if adopted is None else adopted.supervisor
    way = present(launch.libraries)
    return Basis(launch, runtime, supervisor, Journal(), open_files, time(), way, adopted=adopted)


class Parts:
    """The parts of one master. Raises SystemFailure if one cannot be made."""

    def __init__(self, master: Master, basis: Basis, options: LogOptions, show: Callable[[str], object]) -> None:
        """`options`: how the log is written. `show` sets the title's last words."""
        launch, runtime, supervisor = basis.launch, basis.runtime, basis.supervisor
        self.master, self.basis, self.replies = master, basis, Replies()
        self.log = Log(master, options, supervisor.backs_off)
        self.launching = launching_from(launch, basis.open_files)
        self.executor = executor = DaemonExecutor(master, self.launching, runtime, Outputs(self.replies, self.log))
        origin = Origin(launch.directory, launch.runs, journal=options.in_journal)
        addresses, board = executor.listeners.addresses, executor.board
        means = Means(executor.molds, board.reading, executor.stacks, addresses, executor.profile)
        view = DaemonView(supervisor, basis.journal, means, origin, basis.started)
        group = group_id(launch.options.control_group)
        place = basis.place or opened(runtime.path, group)
        self.control = control = Control(master, place, view, self.replies, group)
        executor.grants.connect = control.connect_reader
        self.presence = Presence(master, runtime, control)
        self.watch = Watch(master, self.launching.files)
        self.manager = Manager(master, launch.manager, supervisor)
        self.store = Store(master, launch.manager, launch.stored)
        self.pid_file = PidFile(launch)
        self.observers: list[Observer] = [
            Recorder(basis.journal, control, self.log),
            Headline(show, supervisor),
        ]
        if (welcome := self.launching.welcome) is not None:
            self.observers.append(Banner(welcome, supervisor, executor.listeners.address_of, master.relay))
        self.observers += [
            self.manager,  # After the banner: who waits for readiness may read the log then.
            Admission(control, supervisor, master.relay.log),
            Farewell(master, supervisor, executor.board.living),
        ]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Leave the loop at the end; it was entered before the parts were made."""
        try:
            yield
        finally:
            self.master.__exit__()

    def run(self, first: Event | None = None) -> int:
        """Run until the daemon ends; return its exit status. `first`: see `Master.run`."""
        runtime = self.basis.runtime
        leave = runtime.close
        try:
            with self.pid_file:
                status = self.master.run(self.basis.supervisor, self.executor, self.observers, first)
            leave = runtime.leave
            self.store.hold({})
            return status
        finally:
            self.presence.close()
            self.executor.close()
            self.control.close()
            self.manager.close()
            self.store.close()
            leave()
