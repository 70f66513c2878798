"""The register of processes, the hang watch and the watchers of files, kept through an exec."""

from __future__ import annotations

import math
import os
from functools import partial
from typing import TYPE_CHECKING

from ..._errors import UsageError
from ..._records.plain import Descriptor
from ..births.processes import HelperRole, Processes
from ..watching.edits import Edits
from ..watching.watchers import FileWatcher, Watchers
from . import channels
from .records import KeptHangs, KeptProcesses, KeptShared, KeptWatcher, KeptWatchers

if TYPE_CHECKING:
    from ..executor import DaemonExecutor
    from ..loop import Master


_HELPER = 600.0
"""Seconds after which a helper is killed, such as one that takes a profile: its own deadline has not passed on."""


def shared(executor: DaemonExecutor) -> KeptShared:
    """Return what all processes share: the lifeline's write end first."""
    held = executor._shared
    numbers = (held.writer, held.lifeline, held.scoreboard, held.stacks, held.metrics)
    return KeptShared(*map(Descriptor, numbers))


def restore_shared(executor: DaemonExecutor, kept: KeptShared) -> None:
    """Put what the processes share in the place of what this program has made of the kind.

    dup2(2) exchanges the open file and keeps the number, which the parts of the executor have been given. The former
    descriptors stay open until all is restored: a failure must not close the last write end of the lifeline.
    """
    for former, made in zip(numbers(kept), numbers(shared(executor)), strict=True):
        os.dup2(former, made, inheritable=False)


def numbers(kept: KeptShared) -> tuple[int, ...]:
    """Return the descriptors, the lifeline's write end first."""
    return kept.writer, kept.lifeline, kept.scoreboard, kept.stacks, kept.metrics


def save_processes(processes: Processes) -> KeptProcesses:
    """Return which pid is what, and the channels."""
    ends = channels.molds(processes.channels), channels.workers(processes.channels)
    exits = processes._master.exits
    others = {pid: Descriptor(exits._pidfds[pid]) for pid in exits._others}
    return KeptProcesses(processes._roles, processes.killed, processes._stopped, *ends, others)


def restore_processes(processes: Processes, master: Master, kept: KeptProcesses) -> None:
    """Watch these processes. No other process can have their numbers: this is their parent still, or has a pidfd."""
    for pid, role in kept.roles.items():
        processes._roles[pid] = role
        if (pidfd := kept.others.get(pid)) is not None:
            master.exits.watch_by(pid, pidfd)
            continue
        try:
            master.exits.watch(pid, leads_session=True)
        except UsageError:  # It has been reaped by code that is not ours: its end is to be handled.
            master.exits.ended_unseen(pid)
    processes.killed, processes._stopped = dict(kept.killed), set(kept.stopped)
    channels.restore(processes.channels, kept.molds, kept.workers)
    for pid in [pid for pid, role in kept.roles.items() if isinstance(role, HelperRole)]:
        master.later(_HELPER, partial(_end_helper, processes, pid))
    connected = {mold.generation for mold in kept.molds}
    for generation in processes.molds():
        if generation not in connected:  # It has closed its channel, and was to be killed in a moment.
            processes.kill_mold_soon(generation)
        processes._end_if_stopped(generation)


def _end_helper(processes: Processes, pid: int) -> None:
    if processes._roles.get(pid) == HelperRole():
        processes.kill(pid)


def save_hangs(executor: DaemonExecutor) -> KeptHangs:
    """Return since when which worker makes no progress, and what is noted of each for a crash report."""
    hangs, crashes, oom = executor._hangs, executor._crashes, executor._deaths._oom
    detector = hangs._detector
    return KeptHangs(
        hangs._workers, hangs._stopped, detector.periods, detector.starved, detector.stuck, hangs.imports._begun,
        crashes._notes, oom._seen,
    )  # fmt: skip


def restore_hangs(executor: DaemonExecutor, kept: KeptHangs) -> None:
    """Go on watching: the first check is due as if a worker had just become busy."""
    hangs = executor._hangs
    hangs._workers, hangs._stopped = dict(kept.workers), dict(kept.stopped)
    detector = hangs._detector
    detector.periods, detector.starved, detector.stuck = dict(kept.periods), set(kept.starved), dict(kept.stuck)
    hangs.imports.resume(executor._processes, kept.imports)
    executor._crashes._notes = dict(kept.notes)
    executor._deaths._oom._seen = kept.out_of_memory
    hangs._start_checks()


def save_watchers(watchers: Watchers) -> KeptWatchers:
    """Return what is watched, by which process."""
    edits = {name.strip("_"): value for name, value in vars(watchers._edits).items() if name != "_master"}
    edits = {name: value for name, value in edits.items() if value != -math.inf}  # Which JSON has not.
    return KeptWatchers(watchers._planned, _watcher(watchers._file), _watcher(watchers._code), edits)


def _watcher(one: FileWatcher) -> KeptWatcher:
    return KeptWatcher(one._path, one._since, one._ends, one._ended, one.pid)


def restore_watchers(watchers: Watchers, kept: KeptWatchers) -> None:
    """Go on with the watchers that run; `begin` starts the one that was to be started after a pause."""
    watchers._planned = dict(kept.planned)
    for one, was in (watchers._file, kept.file), (watchers._code, kept.code):
        one._path, one._since, one._ends, one._ended, one.pid = was.path, was.since, was.ends, was.ended, was.pid
    _restore_edits(watchers._edits, kept)


def begin(watchers: Watchers) -> None:
    """Start the watchers that do not run, once all is restored: a process cannot be taken back."""
    for one in watchers._file, watchers._code:
        one._begin(one._path)


def _restore_edits(edits: Edits, kept: KeptWatchers) -> None:
    for name in vars(edits):
        if (value := kept.edits.get(name.strip("_"), edits)) is not edits and name != "_master":
            setattr(edits, name, value)
