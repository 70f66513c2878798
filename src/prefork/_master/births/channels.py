"""The master's channels to molds and forked processes.

The master makes every channel itself, and gives the other end away with the start or the order. One descriptor stands
for all channels in the master's loop. Nothing here waits or decides, and no peer is trusted: the master may still have
privileges that they have dropped. A peer that breaks the protocol is not read any more. Orders are sent without a check
that they arrive: if the peer is dead or stopped, its exit or the deadline of the order shows it, and nothing else could
be done.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from typing import assert_never

from ..._core.events import (
    OF_MESSAGE,
    ForkFailed,
    MoldFailed,
    MoldWarming,
    PlanFailed,
    SpareForked,
    WarmingFailed,
    WorkerFailed,
    WorkerReport,
)
from ..._records.members import fields
from ..._records.record import record
from ..._report.reports.step_report import failed_step
from ..._wire import messages, plan_memory
from ..._wire.messages import WARMING, MalformedMessage, Message
from ..channels.end import MasterEnd, Told
from ..channels.peers import Batch, MoldPeer, NewbornPeer, Peer, WorkerPeer

_BATCH = 100
"""Forks in one order: their channels travel in one packet (253 at most), and are open in the mold at the same time."""

_REPORTS = 16
"""Texts that are taken from one process: an honest one fails once, and asks now and then to be replaced."""

_TOO_EARLY = "the process exited before it was ready"

_TURN = 64  # messages read from one peer in a turn: a flood must not starve the loop


@record
class PlanReceived:
    """A mold has computed a plan: data not yet validated, and warnings for the log."""

    generation: int
    plan: messages.Json
    warnings: tuple[str, ...]


@record
class OtherMessage:
    """A process has sent what is no event of the supervisor's: for the hang watch, or of a watcher of code."""

    pid: int
    message: messages.Busy | messages.StacksWritten | messages.Edited


@record
class MoldDisconnected:
    """A mold sends nothing more: end of file, or it broke the protocol (`reason` says how).

    A `ForkFailed` for the forks under way comes before this. The process may still run.
    """

    generation: int
    reason: str


Fact = (
    PlanReceived
    | MoldFailed
    | MoldWarming
    | WarmingFailed
    | PlanFailed
    | MoldDisconnected
    | SpareForked
    | ForkFailed
    | WorkerReport
    | OtherMessage
)


class ProcessChannels:
    """The channels of one master to all its molds, newborns, spares and workers."""

    def __init__(self, is_new: Callable[[int], bool] | None = None) -> None:
        """`is_new`: whether a pid is a child of the master that has no role yet; without it, whether it is a child."""
        self._is_new = is_new or is_child
        self._epoll = select.epoll()
        self._peers: dict[int, Peer] = {}
        self._molds: dict[int, MoldPeer] = {}
        self._processes: dict[int, WorkerPeer] = {}

    def fileno(self) -> int:
        """Return the descriptor that is readable when `read` has facts."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Close every channel: spares and molds exit, workers go on."""
        for peer in list(self._peers.values()):
            self._drop(peer)
        self._epoll.close()

    def add_mold(self, generation: int, pid: int, channel: MasterEnd) -> None:
        """Add the channel of a mold that has been started."""
        mold = MoldPeer(generation, pid, channel)
        self._molds[generation] = mold
        self._register(mold)

    def add_process(self, pid: int, channel: MasterEnd) -> None:
        """Add the channel of a process that no mold here has forked: inherited, or started by exec."""
        process = WorkerPeer(pid, channel)
        self._processes[pid] = process
        self._register(process)

    # Orders.

    def compute_plan(self, generation: int, files: tuple[str, ...] = (), descriptors: Sequence[int] = ()) -> None:
        """Order a plan; the answer is PlanReceived, MoldFailed, PlanFailed or MoldDisconnected. Raises OSError.

        `files` names the descriptors, of what was read for it.
        """
        if (mold := self._molds.get(generation)) is not None:
            mold.memory = plan_memory.create() if mold.memory is None else mold.memory
            self._send(mold, messages.ComputePlan(files), [mold.memory, *descriptors])

    def fork_spares(self, generation: int, count: int) -> list[Fact]:
        """Order `count` forks; each is answered by a SpareForked or counted in a ForkFailed.

        Returns the facts that are known at once: those for which the master has no descriptor left.
        """
        facts: list[Fact] = []
        if (mold := self._molds.get(generation)) is not None:
            while count > 0:
                self._fork_batch(mold, min(count, _BATCH), facts)
                count -= _BATCH
        return facts

    def _fork_batch(self, mold: MoldPeer, count: int, facts: list[Fact]) -> None:
        batch, given = Batch(), []
        try:
            for _ in range(count):
                ours, theirs = MasterEnd.made()
                ours.verify_sender(True)  # Before the other end is given away: nothing comes without its sender.
                newborn = NewbornPeer(mold, batch, ours)
                self._register(newborn)
                batch.newborns.append(newborn)
                given.append(theirs)
        except OSError as error:
            missing = count - len(given)
            facts.append(ForkFailed(mold.generation, missing, f"no descriptor left in the master: {error.strerror}"))
        if given:
            mold.unborn.update(batch.newborns)
            mold.batches.append(batch)
            self._send(mold, messages.Fork(len(given)), [each.fileno() for each in given])
        for each in given:
            each.close()

    def importing(self) -> dict[int, int]:
        """Return the pids of the molds that have not sent their first plan, by generation."""
        return {generation: mold.pid for generation, mold in self._molds.items() if not mold.planned}

    def owes_forks(self, generation: int) -> bool:
        """Return whether a mold has not answered an order to fork."""
        mold = self._molds.get(generation)
        return mold is not None and bool(mold.batches)

    def end_mold(self, generation: int) -> None:
        """Have a mold exit, by end of file; its last messages are still read."""
        if (mold := self._molds.get(generation)) is not None:
            mold.channel.close_sending()

    def order(self, pid: int, order: messages.Order, descriptors: Sequence[int]) -> None:
        """Make a spare a worker; `descriptors`: the lifeline's read end, then the order's listeners."""
        self._send(self._processes.get(pid), order, descriptors)

    def drain_backlogs(self, pid: int, listeners: Sequence[str]) -> None:
        """Have a worker empty these queues when it drains, since no other worker accepts from them."""
        self._send(self._processes.get(pid), messages.DrainBacklogs(tuple(listeners)))

    def cut_drain(self, pid: int, seconds: float) -> None:
        """Have a worker that drains end in order; it is killed in `seconds`."""
        self._send(self._processes.get(pid), messages.CutDrain(seconds))

    def dismiss(self, pid: int) -> None:
        """Have a spare exit, and forget it."""
        if (process := self._processes.pop(pid, None)) is not None:
            self._drop(process)

    @staticmethod
    def _send(peer: MoldPeer | WorkerPeer | None, message: Message, descriptors: Sequence[int] = ()) -> None:
        if peer is None:
            return  # its end has been read already, and is among the facts of this turn
        try:
            peer.channel.send(message, descriptors, wait=False)
        except OSError:
            pass  # gone, stopped with a full buffer, or no descriptor free for a large message: see the head

    # Facts.

    def read(self) -> list[Fact]:
        """Return the facts that can be read now; `fileno` stays readable if there are more."""
        facts: list[Fact] = []
        for descriptor, _ in self._epoll.poll(0):
            self._read_peer(descriptor, facts, _TURN)
        return facts

    def finish(self, pid: int) -> list[Fact]:
        """Return the last facts of a process that has ended, and forget it; none for an unknown pid."""
        facts: list[Fact] = []
        if (process := self._processes.pop(pid, None)) is not None:
            self._read_peer(process.channel.fileno(), facts, _TURN)
            self._drop(process)
        return facts

    def finish_mold(self, generation: int) -> list[Fact]:
        """Return the last facts of a mold, count its forks under way as failed, and forget it.

        To be called once it is reaped and its session killed: end of file may never come.
        """
        facts: list[Fact] = []
        if (mold := self._molds.get(generation)) is not None:
            self._read_peer(mold.channel.fileno(), facts, _TURN + _BATCH)
            self._forget_mold(mold, "", facts)
        return facts

    def _read_peer(self, descriptor: int, facts: list[Fact], most: int) -> None:
        """Read what there is, but no more than `most` messages."""
        for _ in range(most):
            # Looked up each time: one message may make a newborn a spare, or end the reading of a peer.
            peer = self._peers.get(descriptor)
            if peer is None:
                return
            try:
                told = peer.channel.hear(wait=False)
                if told is None:
                    self._end(peer, "", facts)
                    return
                self._handle(peer, told, facts)
            except BlockingIOError:
                return
            except (MalformedMessage, OSError) as error:
                self._end(peer, str(error), facts)
                return

    def _handle(self, peer: Peer, told: Told, facts: list[Fact]) -> None:
        match peer:
            case MoldPeer():
                self._handle_from_mold(peer, told, facts)
            case NewbornPeer():
                self._handle_from_newborn(peer, told, facts)
            case WorkerPeer():
                self._handle_from_worker(peer, told, facts)
            case _:
                assert_never(peer)

    def _handle_from_mold(self, mold: MoldPeer, told: Told, facts: list[Fact]) -> None:
        match told.message:
            case messages.ForkFailed(reason):
                if mold.batches:
                    mold.batches[0].reason = reason
            case messages.ForksEnded(ordered, reason):
                if not mold.batches or ordered != len(mold.batches[0].newborns):
                    raise MalformedMessage("the mold ended a batch of forks that was not ordered")
                self._adopt(mold, reason, facts)
            case messages.Planned(size, warnings, lost):
                if mold.memory is None:
                    raise MalformedMessage("the mold sent a plan that was not ordered")
                plan = plan_memory.read(mold.memory, size)
                mold.forget_memory()
                mold.planned = True
                facts.append(PlanReceived(mold.generation, plan, (*warnings, *lost)))
            case messages.StepFailed(step, text):
                mold.forget_memory()
                of = WarmingFailed if step == WARMING else PlanFailed if mold.planned else MoldFailed
                facts.append(of(mold.generation, failed_step(step, text)))
            case messages.Warming(seconds):
                facts.append(MoldWarming(mold.generation, seconds))
            case message:
                raise MalformedMessage(f"a mold must not send {type(message).__name__}")

    def _adopt(self, mold: MoldPeer, reason: str, facts: list[Fact]) -> None:
        """End the first batch: what was forked is now the master's child, what has ended before has failed."""
        batch = mold.batches.popleft()
        for newborn in batch.newborns:  # A channel that no process took is counted here, with the reason.
            self._read_peer(newborn.channel.fileno(), facts, _TURN)
        batch.ended, batch.reason = True, batch.reason or reason
        for newborn in batch.newborns:
            self._add_spare_if_complete(newborn, facts)
        if batch.failed:
            facts.append(ForkFailed(mold.generation, batch.failed, batch.reason or _TOO_EARLY))

    def _handle_from_newborn(self, newborn: NewbornPeer, told: Told, facts: list[Fact]) -> None:
        if not isinstance(told.message, messages.Hello) or told.pid is None or newborn.pid is not None:
            raise MalformedMessage("a newborn must send Hello once, with its pid")
        newborn.pid = told.pid
        newborn.channel.verify_sender(False)
        self._add_spare_if_complete(newborn, facts)

    def _add_spare_if_complete(self, newborn: NewbornPeer, facts: list[Fact]) -> None:
        """Make a newborn a spare once it has sent Hello and its batch has ended, if it is a new child of the master.

        The kernel vouches for its pid, but not for its being the newborn: its mold may have given the channel to any
        process, such as another mold.
        """
        mold = newborn.mold
        if newborn.pid is None or not newborn.batch.ended or newborn not in mold.unborn:
            return
        if newborn.pid in self._processes or not self._is_new(newborn.pid):
            self._end(newborn, f"pid {newborn.pid} is not a new child of the master", facts)
            return
        mold.unborn.discard(newborn)
        process = WorkerPeer(newborn.pid, newborn.channel)
        self._processes[process.pid] = process
        self._peers[process.channel.fileno()] = process
        facts.append(SpareForked(mold.generation, process.pid))

    def _handle_from_worker(self, process: WorkerPeer, told: Told, facts: list[Fact]) -> None:
        match told.message:
            case messages.Hello():
                pass  # From a worker started by exec, whose pid is known.
            case messages.Busy() | messages.StacksWritten() | messages.Edited() as message:
                facts.append(OtherMessage(process.pid, message))
            case message:
                event = OF_MESSAGE.get(type(message).__name__)
                if event is None:
                    raise MalformedMessage(f"a worker must not send {type(message).__name__}")
                values = [getattr(message, each.name) for each in fields(message)]
                process.reports += bool(values)
                if not values or process.reports <= _REPORTS:
                    facts.append(event(process.pid, *values))

    # Ends.

    def _end(self, peer: Peer, reason: str, facts: list[Fact]) -> None:
        """Handle end of file (no reason), or a peer that broke the protocol."""
        match peer:
            case MoldPeer():
                self._forget_mold(peer, reason, facts)
                facts.append(MoldDisconnected(peer.generation, reason))
            case NewbornPeer(mold):
                self._drop(peer)
                mold.unborn.discard(peer)
                if peer.batch.ended:  # Its last holder may close the channel only after that.
                    never = "" if peer.pid is not None else peer.batch.reason
                    facts.append(ForkFailed(mold.generation, 1, reason or never or _TOO_EARLY))
                else:
                    peer.batch.failed += 1
                    peer.batch.reason = peer.batch.reason or reason
            case WorkerPeer(pid):
                self._drop(peer)
                if reason:
                    facts.append(WorkerFailed(pid, reason))
            case _:
                assert_never(peer)

    def _forget_mold(self, mold: MoldPeer, reason: str, facts: list[Fact]) -> None:
        """Forget a mold and count its forks under way as failed: none of them has had an order."""
        refused = len(mold.unborn) + sum(batch.failed for batch in mold.batches)
        for newborn in mold.unborn:
            self._drop(newborn)
        mold.unborn.clear()
        mold.batches.clear()
        mold.forget_memory()
        self._drop(mold)
        self._molds.pop(mold.generation, None)
        if refused:
            facts.append(ForkFailed(mold.generation, refused, reason or "the mold has exited"))

    def _register(self, peer: Peer) -> None:
        self._peers[peer.channel.fileno()] = peer
        self._epoll.register(peer.channel, select.EPOLLIN)

    def _drop(self, peer: Peer) -> None:
        descriptor = peer.channel.fileno()
        if descriptor >= 0 and self._peers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
        peer.channel.close()


def is_child(pid: int) -> bool:
    """Return whether a pid is a child of this process, dead or alive."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
