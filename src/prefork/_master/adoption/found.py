"""What a master that starts finds of one that was killed: whether its workers can be adopted, and all that it needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from ..._core.handover.facts import Survived, Survivor
from ..._core.kept.snapshot import MalformedSnapshot
from ..._core.plan import Spec
from ..._core.supervisor import Supervisor
from ..._errors import SystemFailure
from ..._linux.proc_stat import started_at
from ..._records.plain import Descriptor
from ..._records.record import record
from ..kept import sockets, workers
from ..kept.records import KeptListeners, KeptShared, KeptSocket
from ..runtime.roster import _realm
from ..store.discard import discard
from . import notes
from .collect import Collected, Wanted, collect
from .listeners.made import Sockets
from .listeners.order import UnknownOrder
from .program import difference, program_of
from .what import Left, NotAdoptable

if TYPE_CHECKING:
    from ..._wire.launch import MasterLaunch
    from ..runtime.presence import Runtime
    from .records import KeptDaemon


@record
class Found:
    """Workers that can be adopted, and all that they share with their master: the descriptors are this process's."""

    kept: KeptDaemon
    supervisor: Supervisor
    shared: KeptShared
    listeners: KeptListeners
    captured: Mapping[int, tuple[int, int]]
    survived: Survived
    lifeline: int
    started: Mapping[int, int]

    def numbers(self) -> set[int]:
        """Return the descriptors of what was collected and is used."""
        pipes = (pipe for pair in self.captured.values() for pipe in pair)
        return {*workers.numbers(self.shared), *sockets.numbers(self.listeners), *pipes}


def found(launch: MasterLaunch, runtime: Runtime, left: Left, log: Callable[[str], object]) -> Found | None:
    """Return what can be adopted of what is `left`; None for nothing. Logs why not."""
    why = ""
    try:
        if (note := notes.latest(runtime.path)) is not None:
            snapshot, kept = note
            _check(launch, kept)
            supervisor = Supervisor.adopting(snapshot.state, Spec(name=launch.name, options=launch.options))
            adoptable = _asked(kept, supervisor, left)
            runtime.roster.adopt(adoptable.started)
            return adoptable
    except (NotAdoptable, MalformedSnapshot, SystemFailure, UnknownOrder, OSError) as error:  # No descriptor is left.
        why = str(error)
    if left.survivors and why:
        log(f"orphans: the workers of a previous master cannot be adopted: {why}; replacing them")
    discard(left.stored, launch.manager, "" if left.survivors else why or "there is no note of it", log)
    return None


def _check(launch: MasterLaunch, kept: KeptDaemon) -> None:
    if kept.realm != _realm():
        raise NotAdoptable("they are of another boot, or another pid namespace")
    if text := difference(kept.program, program_of(launch)):
        raise NotAdoptable(f"this daemon is not the same: {text}")


def _asked(kept: KeptDaemon, supervisor: Supervisor, left: Left) -> Found:
    survivors = left.survivors
    lifelines = {each.lifeline for pid, each in survivors.items() if pid in kept.workers}
    candidates = [pid for pid in survivors if pid in kept.workers and pid not in kept.draining]
    if survivors and (not candidates or len(lifelines) != 1):
        raise NotAdoptable("none of them is noted")
    held = left.stored.marked(kept.marks.values(), alone=not survivors)
    both = Collected(held, frozenset())
    try:
        if candidates:
            collected = collect(_wanted(kept, lifelines.pop(), candidates, held.keys()))
            both = Collected({**held, **collected.descriptors}, collected.answered)
            if not collected.answered:
                raise NotAdoptable("none of them answers")
        return _made(kept, supervisor, left, both)
    except BaseException:
        both.close()
        raise


def _wanted(kept: KeptDaemon, lifeline: int, candidates: list[int], held: Collection[str]) -> Wanted:
    """Ask each process for what all have, for its own shards, and for its own pipes; not for what is `held` already."""
    common = [*kept.shared]
    own: dict[int, list[int]] = {pid: [*kept.captured.get(pid, ())] for pid in candidates}
    for _, _, place in kept.listeners.places:
        if isinstance(place, KeptSocket):
            common.append(place.descriptor)
            continue
        for member in place.members:
            for pid in member.holders if member.descriptor is not None and member.use == "shard" else ():
                own.get(pid, []).append(member.descriptor)  # type: ignore[arg-type]
            if member.descriptor is not None and member.use == "shared":
                common.append(member.descriptor)
    names = {number: each.name for number, each in kept.marks.items() if each.name not in held}
    asked = {pid: tuple(names[number] for number in (*common, *its) if number in names) for pid, its in own.items()}
    return Wanted(lifeline, {each.name: each for each in kept.marks.values()}, asked)


def _made(kept: KeptDaemon, supervisor: Supervisor, left: Left, collected: Collected) -> Found:
    survivors = left.survivors
    at = {number: collected.descriptors.get(each.name) for number, each in kept.marks.items()}
    shared = [at.get(number) for number in kept.shared]
    if None in shared:
        raise NotAdoptable("none of them has what they share")
    adopted = [pid for pid in collected.answered if started_at(pid) == survivors[pid].started]
    listeners = Sockets(kept.listeners, at, set(adopted), left).made()
    if missing := {listener.name for listener in supervisor.listeners} - {each[0].name for each in listeners.records}:
        raise NotAdoptable(f"no worker has the listener {', '.join(sorted(missing))}")
    reader = _opened_again(shared[0], os.O_RDONLY)
    writer = _opened_again(shared[0], os.O_WRONLY)
    facts = [
        Survivor(pid, kept.workers[pid].generation, kept.workers[pid].key, "", survivors[pid].drain_timeout)
        for pid in adopted
    ]
    pipes = {pid: tuple(at.get(number) for number in pair) for pid, pair in kept.captured.items() if pid in adopted}
    made = Found(
        kept,
        supervisor,
        KeptShared(*map(Descriptor, (writer, reader, *(each or 0 for each in shared[1:])))),
        listeners,
        {pid: pair for pid, pair in pipes.items() if None not in pair},  # type: ignore[misc]
        Survived(tuple(facts)),
        int(kept.marks[kept.shared[0]].name.rpartition(":")[2]),
        {pid: survivors[pid].started for pid in adopted},
    )
    collected.close(made.numbers())
    return made


def _opened_again(descriptor: int | None, mode: int) -> int:
    """Return an own open file description of a pipe's end."""
    try:
        return os.open(f"/proc/self/fd/{descriptor}", mode | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotAdoptable(f"their lifeline cannot be opened: {error.strerror}") from None
