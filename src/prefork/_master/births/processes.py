"""The processes of a daemon: started, found by pid, and killed here."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._report.forms import Origin
from .channels import ProcessChannels
from .start import Interpreter, Shared, start_mold

if TYPE_CHECKING:
    from ..._linux.channel import Channel
    from ..._wire import messages
    from ..log.capture import Capture
    from ..loop import Master
    from ..runtime.roster import Roster
    from .launches import Launching

_END_GRACE = 1.0
"""Seconds a mold that is no longer wanted may take to exit by itself."""


@dataclass(frozen=True, slots=True)
class Start:
    """What every process of a daemon is started with. `capture`: None where its output is not captured."""

    launching: Launching
    shared: Shared
    capture: Capture | None


class Processes:
    """Every process that this master has started or adopted and not reaped, and the channels to them."""

    def __init__(self, master: Master, roster: Roster, start: Start) -> None:
        self._master = master
        self._roster = roster
        self._with = start
        self.channels = ProcessChannels()
        self.molds: dict[int, int] = {}  # pid -> generation
        self.workers: dict[int, str] = {}  # pid -> key; empty for a spare
        self.killed: dict[int, str] = {}  # pid -> why

    # Starting. Each raises OSError.

    def start_mold(self, generation: int) -> None:
        """Start the mold of a generation, and have it plan."""
        launching = self._with.launching
        pid, channel = self._begin(launching.interpreter, launching.of_mold(generation), "mold")
        self.molds[pid] = generation
        self._watch(pid)
        self.channels.add_mold(generation, pid, channel)
        self.channels.compute_plan(generation)

    def spawn(self, key: str, generation: int, interpreter_options: tuple[str, ...]) -> int:
        """Start a process that waits for the order of a slot in an interpreter of its own; return its pid."""
        launching = self._with.launching
        interpreter = launching.interpreter_with(interpreter_options)
        return self._start(interpreter, launching.of_worker(key, generation), key)

    def start_watcher(self, program: str, arguments: messages.Json) -> int:
        """Start a watcher of files, by the name of its program; return its pid."""
        launching = self._with.launching
        return self._start(launching.interpreter, launching.of_watcher(program, arguments), "watcher")

    def adopt(self, pid: int) -> None:
        """A mold has forked a spare."""
        self.workers[pid] = ""
        self._watch(pid)

    def _start(self, interpreter: Interpreter, launch: messages.MoldLaunch, name: str) -> int:
        pid, channel = self._begin(interpreter, launch, name)
        self._watch(pid)
        self.channels.add_process(pid, channel)
        return pid

    def _begin(self, interpreter: Interpreter, launch: messages.MoldLaunch, name: str) -> tuple[int, Channel]:
        capture = self._with.capture
        if capture is None:
            return start_mold(interpreter, launch, self._with.shared)
        with capture.pipes() as ends:
            pid, channel = start_mold(interpreter, launch, self._with.shared, ends.write)
            capture.listen(Origin(name, pid, launch.generation), ends)
        return pid, channel

    def _watch(self, pid: int) -> None:
        self._master.exits.watch(pid, leads_session=True)
        self._roster.add(pid)

    # Ending.

    def end_mold(self, generation: int) -> None:
        """End a mold. It reads its channel's end when it is idle; while it imports it reads nothing: kill it then."""
        self.channels.end_mold(generation)
        self.kill_mold_soon(generation)

    def kill_mold_soon(self, generation: int) -> None:
        """Kill a mold unless it exits within a moment."""
        for pid, of in self.molds.items():
            if of == generation:
                self._master.later(_END_GRACE, lambda pid=pid: self._kill_mold(pid, generation))  # type: ignore[misc]

    def _kill_mold(self, pid: int, generation: int) -> None:
        if self.molds.get(pid) == generation:
            self.kill(pid)

    def kill_worker(self, pid: int, why: str) -> None:
        """Kill a worker; `why` is part of what is logged of its end."""
        self.killed[pid] = why
        self.kill(pid)

    def kill(self, pid: int) -> None:
        """Kill the whole session that a watched process leads."""
        if self._master.exits.watches(pid):
            os.kill(pid, signal.SIGKILL)
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # It has left the group that it led at birth, and no other process is in it.

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a watched process."""
        if self._master.exits.watches(pid):  # Otherwise it has been reaped, and the number may be another's.
            os.kill(pid, number)

    def reaped(self, pid: int) -> None:
        """A process has been reaped: a next master need not look for it."""
        self._roster.remove(pid)
