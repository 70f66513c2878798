"""Notes the daemon in its runtime directory when it has changed: a little later, and never while nothing happens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from time import monotonic, monotonic_ns, process_time
from typing import TYPE_CHECKING, Any

from ..._core.actions import Announce
from ..._core.events import WorkerReady
from ..._core.kept.snapshot import Snapshot, to_bytes
from ..._records.plain import Descriptor, plain
from ..kept import board, sockets
from ..runtime.roster import _realm
from ..store.content import content_of
from . import notes
from .marks import Mark, mark
from .program import program_of
from .records import KeptDaemon

if TYPE_CHECKING:
    from ..._core.actions import Action
    from ..._core.events import Event
    from ..parts import Parts

_SOON = 0.02
"""Seconds from a change to the note: a change is rarely one event."""
_SHARE = 20
"""Notes by the timer take at most 1/20 of the time: one waits for 20 times what the last one took of the processor."""
_CHEAP = 0.005
"""Seconds that a note takes at most of which one is written when a worker becomes ready, before the log says so."""


class Memo:
    """An observer of the loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turn = 0
        self._program = program_of(parts.basis.launch)
        self._due = self._failed = self._at_once = self._complete = False
        self._pause = _SOON
        self._cost = self._next = 0.0

    def noted(self, event: Event, actions: Sequence[Action], now: float) -> None:
        """Plan a note; at once where a worker is ready or a change has ended, before the log says so.

        Of workers that are ready one soon after another, the first and the last are noted at once, the others by the
        timer: a note for each took a third of the master's time in a start of 32. The last of a start is, whatever that
        costs.
        """
        ended = any(isinstance(action, Announce) and action.stage == "done" for action in actions)
        ready = isinstance(event, WorkerReady) and self._cost < _CHEAP
        first = not self._complete and self._all_ready()
        self._complete |= first
        self._at_once = ended or first or (ready and (now >= self._next or self._all_ready()))
        self.plan()

    def _all_ready(self) -> bool:
        """Return whether there are workers, and all are ready."""
        health = self._parts.basis.supervisor.health()
        return 0 < health.wanted == health.ready

    def plan(self) -> None:
        """Plan a note."""
        if not self._due and self._parts.basis.supervisor.generation:
            self._due = True
            self._parts.master.later(self._pause, self._write)

    def write_again(self) -> None:
        """Write the note where the directory was moved to, or made again, before the log says so."""
        if self._parts.basis.supervisor.generation:
            self._due = True
            self._write()

    def done(self, _now: float) -> None:
        """Write the note of a change that has ended."""
        if self._at_once and self._parts.basis.supervisor.generation:
            self._due = True
            self._write()

    def _write(self) -> None:
        if not self._due:
            return  # A timer whose note was written at once.
        self._due = False
        begun = process_time()
        self._turn += 1
        directory = self._parts.basis.runtime.path
        daemon = self._daemon()
        try:
            notes.write(directory, self._turn, self._content(daemon))
            self._failed = False
        except OSError as error:
            self._log_failure(directory, error)
        if self._parts.store.is_there:
            self._parts.store.hold(content_of(daemon, directory))
        # The first one takes several times as long.
        before, self._cost = self._cost, process_time() - begun
        self._pause = max(_SOON, _SHARE * min(before, self._cost))
        self._next = monotonic() + self._pause

    def _content(self, daemon: KeptDaemon) -> bytes:
        basis = self._parts.basis
        supervisor = basis.supervisor
        sections = {notes.SECTION: plain(KeptDaemon, daemon)}
        minor = self._program["python"]
        return to_bytes(Snapshot(basis.way.release, minor, supervisor.generation, supervisor.snapshot(), sections))

    def _daemon(self) -> KeptDaemon:
        executor = self._parts.executor
        shared = executor._shared
        common = tuple(map(Descriptor, (shared.lifeline, shared.scoreboard, shared.stacks, shared.metrics)))
        listeners, captured = sockets.save(executor.listeners), self._captured()
        numbers = [*common, *sockets.numbers(listeners), *(each for pair in captured.values() for each in pair)]
        return KeptDaemon(
            number=monotonic_ns(),
            realm=_realm(),
            program=self._program,
            marks=_marks(numbers),
            shared=common,  # type: ignore[arg-type]  # Four.
            board=board.save(executor.board),
            workers=executor._hangs._workers,
            draining=tuple([pid for pid, row in executor.board._pids.items() if _drains(executor.board._rows[row])]),
            listeners=listeners,
            captured=captured,
        )

    def _captured(self) -> dict[int, tuple[Descriptor, Descriptor]]:
        found = self._parts.master.relay._sources.items() if self._parts.executor._capture is not None else ()
        return {pid: tuple([Descriptor(each._descriptor) for each in pair]) for pid, pair in found if len(pair) == 2}  # type: ignore[misc]

    def _log_failure(self, directory: str, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            why = f"cannot note the workers in {directory}: {error.strerror}"
            self._parts.master.relay.log(f"roster: {why}; if this master is killed, the next one replaces them")


def _drains(row: Any) -> bool:
    return bool(row.state == "draining")


def _marks(numbers: Sequence[int]) -> dict[int, Mark]:
    found = {}
    for number in numbers:
        with suppress(OSError, ValueError):  # Closed, or nothing that could be handed over.
            found[number] = mark(number)
    return found
