"""The channels to molds, newborns, spares and workers, kept through an exec."""

from __future__ import annotations

import _socket

from ..._records.plain import Descriptor
from ..births.channels import ProcessChannels
from ..channels.end import MasterEnd
from ..channels.peers import Batch, MoldPeer, NewbornPeer, WorkerPeer
from .records import KeptBatch, KeptMold, KeptNewborn, KeptWorker


def molds(channels: ProcessChannels) -> tuple[KeptMold, ...]:
    """Return the molds with their forks under way, whose channels wait for a process or its first message."""
    return tuple([_mold(mold) for mold in channels._molds.values()])


def _mold(mold: MoldPeer) -> KeptMold:
    batches = dict.fromkeys([*map(id, mold.batches), *(id(each.batch) for each in mold.unborn)])
    found = {id(batch): batch for batch in (*mold.batches, *(each.batch for each in mold.unborn))}
    kept = tuple([_batch(found[number], mold) for number in batches])
    memory = None if mold.memory is None else Descriptor(mold.memory)
    return KeptMold(mold.generation, mold.pid, Descriptor(mold.channel.fileno()), memory, mold.planned, kept)


def _batch(batch: Batch, mold: MoldPeer) -> KeptBatch:
    newborns = []
    for newborn in batch.newborns:
        # A spare by now has its place in the batch only: its channel is among the workers'.
        waits = newborn in mold.unborn
        newborns.append(KeptNewborn(Descriptor(newborn.channel.fileno()) if waits else None, newborn.pid, waits))
    return KeptBatch(tuple(newborns), batch.failed, batch.reason, batch.ended)


def workers(channels: ProcessChannels) -> tuple[KeptWorker, ...]:
    """Return the spares, workers and watchers. `-1`: the process has closed its channel."""
    found = channels._processes.values()
    return tuple([KeptWorker(each.pid, Descriptor(each.channel.fileno()), each.reports) for each in found])


def restore(channels: ProcessChannels, kept: tuple[KeptMold, ...], processes: tuple[KeptWorker, ...]) -> None:
    """Make the channels of a former program those of this one."""
    for mold in kept:
        _restore_mold(channels, mold)
    for process in processes:
        peer = WorkerPeer(process.pid, _end(process.descriptor), process.reports)
        channels._processes[process.pid] = peer
        if process.descriptor >= 0:
            channels._register(peer)


def _restore_mold(channels: ProcessChannels, kept: KeptMold) -> None:
    memory = None if kept.memory is None else int(kept.memory)
    mold = MoldPeer(kept.generation, kept.pid, _end(kept.descriptor), memory, kept.planned)
    channels._molds[mold.generation] = mold
    channels._register(mold)
    for each in kept.batches:
        batch = Batch([], each.failed, each.reason, each.ended)
        if not each.ended:
            mold.batches.append(batch)
        for one in each.newborns:
            newborn = NewbornPeer(mold, batch, _end(-1 if one.descriptor is None else one.descriptor), one.pid)
            batch.newborns.append(newborn)
            if one.unborn:
                mold.unborn.add(newborn)
                if newborn.pid is None:
                    newborn.channel.verify_sender(True)
                channels._register(newborn)


def _end(descriptor: int) -> MasterEnd:
    if descriptor >= 0:
        return MasterEnd(_socket.socket(fileno=descriptor))
    closed = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    closed.close()
    return MasterEnd(closed)
