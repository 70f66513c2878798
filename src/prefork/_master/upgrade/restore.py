"""A master made of what a former program of it has left."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from ..._core.events import OrphansFound
from ..._core.handover.facts import Upgraded, UpgradeFailed
from ..._core.kept.snapshot import Snapshot, from_bytes
from ..._core.supervisor import Supervisor
from ..._errors import SystemFailure
from ..._records.members import replace
from ..._records.plain import made
from ..._records.record import record
from ..._wire import scoreboard
from ..._wire.launch import MasterLaunch
from ..._wire.metrics import arena
from ..adoption.adopt import keep_open
from ..control.place import Place
from ..kept import board, clients, orders, output, ownership, sockets, workers
from ..kept.records import KeptMaster
from ..log.log import LogOptions, log_options
from ..parts import Basis, Parts
from ..paths.relied_on import checked
from .take import AGREEMENT, SECTION
from .ways import present

if TYPE_CHECKING:
    from ..._core.events import Event
    from ..loop import Master


@record
class Former:
    """What a former program has left, read and checked; nothing of it has been touched."""

    snapshot: Snapshot
    kept: KeptMaster
    launch: MasterLaunch
    supervisor: Supervisor

    @property
    def log(self) -> LogOptions:
        """How the log is written."""
        return log_options(self.launch)

    @property
    def other_version(self) -> bool:
        """Whether its molds and workers cannot take this program's orders: of another Python, or other messages."""
        minor = ".".join(map(str, sys.version_info[:2]))
        return self.snapshot.python != minor or self.kept.agreement != AGREEMENT


def read(data: bytes, libraries: str) -> Former:
    """Return what these bytes describe; `libraries`: the folder of setproctitle.

    Raises MalformedSnapshot, NotPlain, ValueError, UsageError, and SystemFailure for memory of another layout.
    """
    snapshot = from_bytes(data)
    kept: KeptMaster = made(KeptMaster, snapshot.sections.get(SECTION))
    layouts = (kept.scoreboard, kept.metrics), (scoreboard.VERSION, arena.VERSION)
    if layouts[0] != layouts[1]:
        raise SystemFailure(
            f"the running daemon has memory of layout {layouts[0]}, this version {layouts[1]}: stop and start it"
        )
    launch: MasterLaunch = made(MasterLaunch, kept.launch)
    launch = checked(replace(launch, libraries=libraries, greeting=None))
    return Former(snapshot, kept, launch, Supervisor.restore(snapshot.state))


def restored(master: Master, former: Former, show: Callable[[str], object]) -> Parts:
    """Return the parts, with everything that the former program had; the descriptors in `kept` stay open.

    Raises SystemFailure, OSError.
    """
    kept, launch, options = former.kept, former.launch, former.log
    runtime = ownership.made_runtime(launch, kept.runtime, master.relay.log)
    place = Place(int(kept.control.place), clients.listener(kept.control))
    basis = Basis(
        launch, runtime, former.supervisor, clients.made_journal(kept.journal), kept.open_files, kept.started,
        present(launch.libraries), place, kept.launch, former.snapshot.unknown((SECTION,)),
    )  # fmt: skip
    parts = Parts(master, basis, replace(options, file=None), show)
    master._events = type(master._events)(each for each in master._events if not isinstance(each, OrphansFound))
    _restore(parts, kept, options)
    return parts


def _restore(parts: Parts, kept: KeptMaster, options: LogOptions) -> None:
    master, executor = parts.master, parts.executor
    workers.restore_shared(executor, kept.shared)
    board.restore(executor.board, kept.board)
    parts.basis.runtime.roster.lifeline = kept.runtime.lifeline
    output.restore(master, executor._capture, parts.log, kept.output, options)
    orders.restore(executor._orders, parts.launching.files, kept.orders)
    sockets.restore(executor.listeners, kept.listeners)
    workers.restore_processes(executor._processes, master, kept.processes)
    workers.restore_hangs(executor, kept.hangs)
    workers.restore_watchers(executor._watchers, kept.watchers)
    clients.restore(parts.control, parts.replies, kept.control)
    parts.store.held = dict.fromkeys(kept.stored)
    ownership.restore_pid_file(parts.pid_file, kept.runtime)
    master.signals._may_lose_terminal = kept.may_lose_terminal


def settle(parts: Parts, former: Former, descriptors: list[int]) -> None:
    """Let go of the former program: it cannot be gone back to from here on."""
    kept = former.kept
    replaced = {*workers.numbers(kept.shared), *kept.runtime.lifelines, *filter(None, [kept.output.file])}
    for number in set(descriptors):
        if number in replaced:
            os.close(number)
        else:
            os.set_inheritable(number, False)
    signal.pthread_sigmask(signal.SIG_SETMASK, kept.mask)
    master = parts.master
    master.exits.poll()
    parts.executor.children_changed()  # Signals that came meanwhile were for no handler.
    for mold in parts.basis.supervisor.overview()["molds"]:
        if mold["state"] == "ending":  # It was to be killed in a moment.
            parts.executor._processes.end_mold(mold["generation"])
    workers.begin(parts.executor._watchers)
    keep_open(master, parts.executor)
    parts.presence._look_in(0.0)
    parts.watch._look_soon()
    parts.log._set_timer(monotonic())
    master.later(0, lambda: parts.manager.upgraded(kept.was_ready))


def first_event(former: Former, release: str, why: str) -> Event:
    """Return what the supervisor is told first; `why`: the program that was to take over could not."""
    kept = former.kept
    away = monotonic() - kept.since
    if why:
        return UpgradeFailed(kept.asker, why, away)
    program = f"{' '.join(filter(None, ('prefork', release)))}, Python {sys.version.split()[0]}"
    return Upgraded(kept.asker, away, program, former.other_version)
