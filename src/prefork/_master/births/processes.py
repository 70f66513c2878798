"""The processes of a daemon: which pid is what, and every act on one by its number.

A pid is a number, and a number can become another process's. So there is one registry of pid and role, in which a
process has one role from its start until it has been reaped, and one gate for each act by number (a signal, a limit, a
nice value, a file of /proc): the process is in the registry, and the kernel says that it is still ours to reap. Until
it is reaped its number cannot be another's.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from ..._linux.drain_request import DRAIN, signals_for
from ..._records.record import record
from ..._report.forms import Origin
from ..passed.shared import Shared
from ..watching.contents import Contents, in_memory
from .channels import ProcessChannels, is_child
from .start import Interpreter, start_mold

if TYPE_CHECKING:
    from ..._wire import messages
    from ..channels.end import MasterEnd
    from ..log.capture import Capture
    from ..loop import Master
    from ..runtime.roster import Roster
    from .channels import Fact
    from .launches import Launching

_END_GRACE = 1.0
"""Seconds a mold that is no longer wanted may take to exit by itself."""
_STOPPED = 1.0
"""Seconds after which a mold is ended that owes forks and is stopped: who stops it for a look continues it sooner. One
that runs may only be slow, on a busy machine or in a hook of the application: it has `Spec.fork_timeout`."""


@record
class Start:
    """What every process of a daemon is started with. `capture`: None where its output is not captured."""

    launching: Launching
    shared: Shared
    capture: Capture | None


@record
class MoldRole:
    """The mold of a generation."""

    generation: int


@record
class WorkerRole:
    """A worker, or a spare."""


@record
class WatcherRole:
    """A watcher of files."""


@record
class HelperRole:
    """A child that does something for the master that may take long."""


Role = MoldRole | WorkerRole | WatcherRole | HelperRole


class Processes:
    """Every process that this master has started or adopted and not reaped, and the channels to them."""

    def __init__(self, master: Master, roster: Roster, start: Start) -> None:
        self._master = master
        self._roster = roster
        self._with = start
        self.channels = ProcessChannels(self._is_new)
        self._roles: dict[int, Role] = {}
        self.killed: dict[int, str] = {}  # pid -> why
        self._stopped: set[int] = set()

    def molds(self) -> dict[int, int]:
        """Return the pids of the molds, by generation."""
        return {role.generation: pid for pid, role in self._roles.items() if isinstance(role, MoldRole)}

    def _is_new(self, pid: int) -> bool:
        """Return whether a pid is a child of this process that has no role: only then it may become a spare."""
        return pid not in self._roles and is_child(pid)

    def is_ours(self, pid: int) -> bool:
        """Return whether this number belongs to a process of ours, living or dead: whether to act on it is safe."""
        return pid in self._roles and self._master.exits.holds(pid)

    # Starting. Each raises OSError.

    def start_mold(self, generation: int, warm: bool = False) -> None:
        """Start the mold of a generation, and have it plan."""
        launching = self._with.launching
        launching.files.read_for(generation)  # First: without them there is nothing to start.
        pid, channel = self._begin(launching.interpreter, launching.of_mold(generation, warm), "mold")
        self._add(pid, MoldRole(generation))
        self.channels.add_mold(generation, pid, channel)
        self._ask_for_plan(generation, launching.files.planned(generation))

    def plan_again(self, generation: int) -> None:
        """Have the mold of a generation plan once more, with the files as they are now."""
        self._ask_for_plan(generation, self._with.launching.files.read_for(generation))

    def _ask_for_plan(self, generation: int, contents: Contents) -> None:
        with in_memory(contents) as descriptors:
            self.channels.compute_plan(generation, tuple(contents), descriptors)

    @property
    def import_timeout(self) -> float:
        """The seconds that a mold has for its import, as the launch says."""
        return self._with.launching.options.import_timeout

    def spawn(self, key: str, generation: int, interpreter_options: tuple[str, ...]) -> int:
        """Start a process that waits for the order of a slot in an interpreter of its own; return its pid."""
        launching = self._with.launching
        interpreter = launching.interpreter_with(interpreter_options)
        return self._start(interpreter, launching.of_worker(key, generation), key, WorkerRole())

    def start_watcher(self, program: str, arguments: messages.Json) -> int:
        """Start a watcher of files, by the name of its program; return its pid."""
        launching = self._with.launching
        return self._start(launching.interpreter, launching.of_watcher(program, arguments), "watcher", WatcherRole())

    def add_helper(self, pid: int) -> None:
        """The master has forked a helper, which leads a session."""
        self._add(pid, HelperRole())

    def adopt(self, pid: int) -> None:
        """A mold has forked a spare."""
        self._add(pid, WorkerRole())

    def ordered(self, pid: int, drain_timeout: float) -> None:
        """A process becomes a worker, whose drain may last `drain_timeout` seconds."""
        self._roster.ordered(pid, drain_timeout)

    def _start(self, interpreter: Interpreter, launch: messages.MoldLaunch, name: str, role: Role) -> int:
        pid, channel = self._begin(interpreter, launch, name)
        self._add(pid, role)
        self.channels.add_process(pid, channel)
        return pid

    def _begin(self, interpreter: Interpreter, launch: messages.MoldLaunch, name: str) -> tuple[int, MasterEnd]:
        capture = self._with.capture
        if capture is None:
            return start_mold(interpreter, launch, self._with.shared)
        with capture.pipes() as ends:
            pid, channel = start_mold(interpreter, launch, self._with.shared, ends.write)
            capture.listen(Origin(name, pid, launch.generation), ends)
        return pid, channel

    def _add(self, pid: int, role: Role) -> None:
        self._roles[pid] = role
        self._master.exits.watch(pid, leads_session=True)
        self._roster.add(pid)

    # Ending.

    def end_mold(self, generation: int) -> None:
        """End a mold. It reads its channel's end when it is idle; while it imports it reads nothing: kill it then."""
        self.channels.end_mold(generation)
        self.kill_mold_soon(generation)

    def kill_mold_soon(self, generation: int) -> None:
        """Kill a mold unless it exits within a moment."""
        if (pid := self.molds().get(generation)) is not None:
            self._master.later(_END_GRACE, lambda: self._kill_mold(pid, generation))

    def _kill_mold(self, pid: int, generation: int) -> None:
        if self._roles.get(pid) == MoldRole(generation):
            self.kill(pid)

    def stopped(self, pid: int, stopped: bool) -> None:
        """A process that is no worker was stopped, or continued."""
        (self._stopped.add if stopped else self._stopped.discard)(pid)
        if isinstance(role := self._roles.get(pid), MoldRole):
            self._end_if_stopped(role.generation)

    def fork_spares(self, generation: int, count: int) -> list[Fact]:
        """Order forks; return what is known at once."""
        known = self.channels.fork_spares(generation, count)
        self._end_if_stopped(generation)
        return known

    def _end_if_stopped(self, generation: int) -> None:
        """End a mold soon that is stopped while it owes forks, unless it is continued."""

        def end() -> None:
            if pid in self._stopped and self.molds().get(generation) == pid and self.channels.owes_forks(generation):
                self._master.relay.log(f"mold of generation {generation}: asked to fork while it is stopped; ending it")
                self.kill(pid)

        pid = self.molds().get(generation)
        if pid in self._stopped:
            self._master.later(_STOPPED, end)

    def cut_drain(self, pid: int, seconds: float) -> None:
        """Send a worker that its drain is over, and prefork's own signal once more, by which it reads this."""
        self.channels.cut_drain(pid, seconds)
        if DRAIN in signals_for(pid):
            self.signal(pid, DRAIN)

    def kill_worker(self, pid: int, why: str) -> None:
        """Kill a worker; `why` is part of what is logged of its end."""
        self.killed[pid] = why
        self.kill(pid)

    def kill(self, pid: int) -> None:
        """Kill the whole session that a watched process leads."""
        if self.is_ours(pid):
            self._master.exits.signal(pid, signal.SIGKILL)
            self._master.exits.kill_group(pid)

    def kill_helper(self, pid: int) -> None:
        """Kill a helper, unless it has ended and its number is another child's by now."""
        if isinstance(self._roles.get(pid), HelperRole):
            self.kill(pid)

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a process of ours; nothing if it is none, or has been reaped."""
        if self.is_ours(pid):
            self._master.exits.signal(pid, number)

    def reaped(self, pid: int) -> Role | None:
        """Forget a process that has been reaped; return what it was. A next master need not look for it."""
        self._roster.remove(pid)
        self._stopped.discard(pid)
        return self._roles.pop(pid, None)
