"""Upgrade in place: find the next program, rehearse it, and execute it in the place of this one.

The steps, each of which leaves everything as it is where it fails:

1. A child finds the next program: the noted interpreter, with its packages, says where its prefork is.
2. A child of the next program, with the environment, directory, limits and user of the master, restores a copy of what
   this master is, decides an event, and writes what it has once more (`resume.py`). It gets no socket and no lifeline.
3. Once nothing is under way that a moment ends, the master is written to memory, and the next program executed.

The next program keeps all that it was given until it has restored everything. Where it cannot, it executes the former
program again.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeGuard

from ..._core.handover.facts import UpgradeFailed
from ..._core.handover.orders import CancelUpgrade, ReplaceProgram
from ..._linux import memfd
from ..._wire.printable import printable
from ..births.start import Interpreter, user_environ
from ..paths import trust
from .child import Child
from .take import taken
from .ways import ENTRY, FIND, Way

if TYPE_CHECKING:
    from ..parts import Parts

_MOMENT = 0.05
"""Seconds between two looks whether what is under way has ended."""

_PATIENCE = 10.0
"""Seconds for that: the stacks of a worker take five at most, a name ten."""


class Upgrade:
    """The upgrades of one master."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._launch = parts.basis.launch
        self._child = Child(parts.master, parts.executor._processes)
        self._asker = 0
        self._wanted = False
        self._until = 0.0

    def perform(self, action: ReplaceProgram | CancelUpgrade) -> None:
        """Replace the program, or do not any more: a child that has been asked may still answer."""
        self._wanted = isinstance(action, ReplaceProgram)
        if isinstance(action, ReplaceProgram):
            self._asker = action.asker
            self._find()

    def _find(self) -> None:
        launch = self._launch
        command = [*launch.command, "-P", "-c", FIND]
        # As the application's user where it has one: packages run code at the start of an interpreter.
        user = launch.identity, None, launch.directory, launch.new_privileges
        self._child.ask(Interpreter(command, user_environ(launch), *user), (), self._found)

    def _fail(self, why: str, away: float = 0.0) -> None:
        self._wanted = False
        self._parts.master.enqueue(UpgradeFailed(self._asker, why, away))

    def _found(self, answer: dict[str, Any], reason: str) -> None:
        if not self._wanted:
            return
        launch = self._launch
        program, libraries = answer.get("program"), answer.get("libraries")
        if not (_is_path(program) and _is_path(libraries) and program.endswith(f"/prefork/{ENTRY}")):
            self._fail(f"{launch.command[0]} has no program to go on with: {reason or 'its answer is none of prefork'}")
            return
        way = Way(launch.command[0], program, libraries)
        if problem := self._why_foreign(way):
            self._fail(problem)
            return
        try:
            data, _ = taken(self._parts, self._asker)
            copy = memfd.write("prefork-rehearsal", data)
        except Exception as error:  # Whatever is wrong in here, the daemon is not to end of it.
            self._fail(f"the master's state cannot be written: {type(error).__name__}: {error}")
            return
        program = Interpreter(way.command("rehearse", str(copy)), launch.environ, directory=launch.directory)
        self._child.ask(program, (copy,), lambda answer, reason: self._rehearsed(way, answer, reason))
        os.close(copy)

    def _why_foreign(self, way: Way) -> str:
        """Return why another user decides what root would run; empty if none does."""
        if self._launch.identity is None or os.geteuid() != 0:
            return ""
        try:
            found = {path: trust.why_foreign(path) for path in (way.python, way.program, way.libraries)}
        except OSError as error:
            return printable(str(error))
        foreign = (f"{path} would be part of what root runs: {why}" for path, why in found.items() if why)
        return printable(next(foreign, ""))  # A link in a path may lead to a name that forges a line of the log.

    def _rehearsed(self, way: Way, answer: dict[str, Any], reason: str) -> None:
        if not self._wanted:
            return
        if not answer:
            self._fail(f"the rehearsal failed: {reason} ({way.program})")
            return
        self._until = monotonic() + _PATIENCE
        self._replace_when_quiet(way)

    def _replace_when_quiet(self, way: Way) -> None:
        """Execute the program once nothing is under way that only this one could end."""
        parts = self._parts
        if not self._wanted:
            return
        if parts.master.settled and not parts.executor.busy():
            self._replace(way)
        elif monotonic() < self._until:
            parts.master.later(_MOMENT if parts.master.settled else 0, lambda: self._replace_when_quiet(way))
        else:
            self._fail(
                f"the master is busy for {_PATIENCE:g} s: {parts.executor.busy() or 'with one event after another'}"
            )

    def _replace(self, way: Way) -> None:
        parts, launch = self._parts, self._launch
        was_ready = parts.manager.upgrading()
        parts.executor.write_crashes()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        descriptors: list[int] = []
        here, snapshot, why = -1, -1, ""
        try:
            data, descriptors = taken(parts, self._asker)
            snapshot = memfd.write("prefork-upgrade", data)
            here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            if launch.directory is not None:
                with suppress(OSError):
                    os.chdir(launch.directory)
            # From here to the handlers of the next program no signal may end this process: those that come wait.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            for name in parts.master.signals._came:  # Noted and not taken: they wait in the kernel, too.
                signal.raise_signal(signal.Signals[f"SIG{name}"])
            for number in (*descriptors, snapshot):
                os.set_inheritable(number, True)
            back = parts.basis.way
            words = str(snapshot), back.python, back.program, back.libraries
            os.execve(way.python, way.command("resume", *words), launch.environ)
        except OSError as error:
            why = f"{way.python} cannot be executed: {error.strerror}"
        except Exception as error:
            why = f"the master's state cannot be written: {type(error).__name__}: {error}"
        finally:
            for number in descriptors:  # No mold may get them.
                os.set_inheritable(number, False)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if here >= 0:
                with suppress(OSError):
                    os.fchdir(here)
            for number in (here, snapshot):
                if number >= 0:
                    os.close(number)
        parts.manager.upgraded(was_ready)
        self._fail(why)


def _is_path(answer: object) -> TypeGuard[str]:
    """Return whether the answer of a child, which runs code of the application's user, can be a path that is logged."""
    return isinstance(answer, str) and os.path.isabs(answer) and answer.isprintable()
