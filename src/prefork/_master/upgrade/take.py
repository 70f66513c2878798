"""The whole master as bytes: its supervisor, and its parts with their descriptors."""

from __future__ import annotations

import json
import signal
import sys
from time import monotonic
from typing import TYPE_CHECKING

from ..._core.kept.snapshot import Snapshot, to_bytes
from ..._records.plain import plain
from ..._wire import scoreboard
from ..._wire.agreement import agreement
from ..._wire.launch import encode
from ..._wire.metrics import arena
from ..kept import board, clients, orders, output, ownership, sockets, workers
from ..kept.records import KeptMaster

if TYPE_CHECKING:
    from ..parts import Parts

SECTION = "master"
"""The name of the shell's section in a snapshot."""

AGREEMENT = agreement()  # Now: an update may replace the files of this version while it runs.


def taken(parts: Parts, asker: int) -> tuple[bytes, list[int]]:
    """Return the master as bytes, and the descriptors that are named in them: the lifeline's write end is the first."""
    kept = _kept(parts, asker)
    descriptors: list[int] = []
    section = plain(KeptMaster, kept, descriptors)
    supervisor, basis = parts.basis.supervisor, parts.basis
    minor = ".".join(map(str, sys.version_info[:2]))
    sections = {**basis.unknown, SECTION: section}
    state = supervisor.snapshot()
    generation = supervisor.overview()["generation"]
    snapshot = Snapshot(basis.way.release, minor, generation, state, sections)
    return to_bytes(snapshot), [number for number in descriptors if number >= 0]


def _kept(parts: Parts, asker: int) -> KeptMaster:
    executor, basis = parts.executor, parts.basis
    return KeptMaster(
        shared=workers.shared(executor),
        launch=dict(basis.written) or json.loads(encode(basis.launch)),
        asker=asker,
        since=monotonic(),
        started=basis.started,
        open_files=basis.open_files,
        mask=tuple(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        may_lose_terminal=parts.master.signals._may_lose_terminal,
        was_ready=parts.manager.ready,
        processes=workers.save_processes(executor._processes),
        board=board.save(executor.board),
        hangs=workers.save_hangs(executor),
        orders=orders.save(executor._orders, parts.launching.files),
        watchers=workers.save_watchers(executor._watchers),
        listeners=sockets.save(executor.listeners),
        output=output.save(parts.master.relay, executor._capture, parts.log),
        control=clients.save(parts.control, parts.replies),
        journal=clients.journal(basis.journal),
        runtime=ownership.save(basis.runtime, executor._orphans, parts.pid_file),
        agreement=AGREEMENT,
        scoreboard=scoreboard.VERSION,
        metrics=arena.VERSION,
        stored=tuple(parts.store.held),
    )
