"""The master's channels to molds and forked processes.

One descriptor stands for all channels in the master's loop. Nothing here waits or decides, and no peer is trusted: the
master may still have privileges that they have dropped. A peer that breaks the protocol is not read any more. Orders
are sent without a check that they arrive: if the peer is dead or stopped, its exit or the deadline of the order shows
it, and nothing else could be done.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import assert_never

from ..._core.events import (
    OF_MESSAGE,
    ForkFailed,
    MoldFailed,
    PlanFailed,
    SpareForked,
    WorkerFailed,
    WorkerReport,
)
from ..._linux.channel import Channel, DescriptorsLost, Received
from ..._wire import messages
from ..._wire.messages import MalformedMessage, Message

_TURN = 64  # messages read from one peer in a turn: a flood must not starve the loop


@dataclass(frozen=True, slots=True)
class PlanReceived:
    """A mold has computed a plan: data not yet validated, and warnings for the log."""

    generation: int
    plan: messages.Json
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HangMessage:
    """A worker has sent a message for the hang watch: `Busy`, or `StacksWritten`."""

    pid: int
    message: messages.Busy | messages.StacksWritten


@dataclass(frozen=True, slots=True)
class MoldDisconnected:
    """A mold sends nothing more: end of file, or it broke the protocol (`reason` says how).

    A `ForkFailed` for the forks under way comes before this. The process may still run.
    """

    generation: int
    reason: str


Fact = PlanReceived | MoldFailed | PlanFailed | MoldDisconnected | SpareForked | ForkFailed | WorkerReport | HangMessage


@dataclass(eq=False, slots=True)
class _MoldPeer:
    generation: int
    pid: int
    channel: Channel
    asked: bool = False
    """It has been asked for a plan that has not come yet."""
    planned: bool = False
    batches: deque[int] = field(default_factory=deque)
    """The forks ordered and not ended, one number for each Fork."""
    announced: list[_NewbornPeer] = field(default_factory=list)
    """The children announced for the first batch."""
    unborn: set[_NewbornPeer] = field(default_factory=set)
    """Children announced in any batch that are not spares yet."""
    reason: str = ""


@dataclass(eq=False, slots=True)
class _NewbornPeer:
    mold: _MoldPeer
    channel: Channel
    pid: int | None = None
    adopted: bool = False


@dataclass(eq=False, slots=True)
class _WorkerPeer:
    """A spare or a worker."""

    pid: int
    channel: Channel


_Peer = _MoldPeer | _NewbornPeer | _WorkerPeer


class ProcessChannels:
    """The channels of one master to all its molds, newborns, spares and workers."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._peers: dict[int, _Peer] = {}
        self._molds: dict[int, _MoldPeer] = {}
        self._processes: dict[int, _WorkerPeer] = {}

    def fileno(self) -> int:
        """Return the descriptor that is readable when `read` has facts."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Close every channel: spares and molds exit, workers go on."""
        for peer in list(self._peers.values()):
            self._drop(peer)
        self._epoll.close()

    def add_mold(self, generation: int, pid: int, channel: Channel) -> None:
        """Add the channel of a mold that has been started."""
        mold = _MoldPeer(generation, pid, channel)
        self._molds[generation] = mold
        self._register(mold)

    def add_process(self, pid: int, channel: Channel) -> None:
        """Add the channel of a process that no mold here has forked: inherited, or started by exec."""
        process = _WorkerPeer(pid, channel)
        self._processes[pid] = process
        self._register(process)

    # Orders.

    def compute_plan(self, generation: int) -> None:
        """Order a plan; the answer is PlanReceived, MoldFailed, PlanFailed or MoldDisconnected."""
        if (mold := self._molds.get(generation)) is not None:
            mold.asked = True
        self._send(mold, messages.ComputePlan())

    def fork_spares(self, generation: int, count: int) -> None:
        """Order `count` forks; each is answered by a SpareForked or counted in a ForkFailed."""
        if (mold := self._molds.get(generation)) is not None:
            mold.batches.append(count)
        self._send(mold, messages.Fork(count))

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

    def dismiss(self, pid: int) -> None:
        """Have a spare exit, and forget it."""
        if (process := self._processes.pop(pid, None)) is not None:
            self._drop(process)

    @staticmethod
    def _send(peer: _MoldPeer | _WorkerPeer | None, message: Message, descriptors: Sequence[int] = ()) -> None:
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
            self._read_peer(mold.channel.fileno(), facts, _TURN + sum(mold.batches))
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
                received = peer.channel.receive(wait=False)
                if received is None:
                    self._end(peer, "", facts)
                    return
                self._handle(peer, received, facts)
            except BlockingIOError:
                return
            except DescriptorsLost as error:
                if not (isinstance(peer, _MoldPeer) and peer.batches):
                    self._end(peer, str(error), facts)
                    return
                # The lost descriptor was a newborn's channel: it reads end of file, and its batch is one short.
                peer.reason = str(error)
            except (MalformedMessage, OSError) as error:
                self._end(peer, str(error), facts)
                return

    def _handle(self, peer: _Peer, received: Received, facts: list[Fact]) -> None:
        match peer:
            case _MoldPeer():
                self._handle_from_mold(peer, received, facts)
            case _NewbornPeer():
                self._handle_from_newborn(peer, received, facts)
            case _WorkerPeer():
                self._handle_from_worker(peer, received, facts)
            case _:
                assert_never(peer)

    def _handle_from_mold(self, mold: _MoldPeer, received: Received, facts: list[Fact]) -> None:
        match received.message:
            case messages.ChildAnnounced():
                channel = Channel.from_descriptor(*received.descriptors)
                if not mold.batches or len(mold.announced) == mold.batches[0]:
                    channel.close()
                    raise MalformedMessage("the mold announced a fork that was not ordered")
                channel.verify_sender(True)
                newborn = _NewbornPeer(mold, channel)
                mold.announced.append(newborn)
                mold.unborn.add(newborn)
                self._register(newborn)
            case messages.ForkFailed(reason):
                mold.reason = reason
            case messages.ForksEnded(ordered, reason):
                if not mold.batches or ordered != mold.batches[0]:
                    raise MalformedMessage("the mold ended a batch of forks that was not ordered")
                self._adopt(mold, mold.reason or reason, facts)
            case messages.Planned(plan, warnings):
                if not mold.asked:
                    raise MalformedMessage("the mold sent a plan that was not ordered")
                mold.asked, mold.planned = False, True
                facts.append(PlanReceived(mold.generation, plan, warnings))
            case messages.StepFailed(step, text):
                mold.asked = False
                failed = PlanFailed if mold.planned else MoldFailed
                facts.append(failed(mold.generation, f"{step} failed:\n{text}"))
            case message:
                raise MalformedMessage(f"a mold must not send {type(message).__name__}")

    def _adopt(self, mold: _MoldPeer, reason: str, facts: list[Fact]) -> None:
        """End the first batch: what it announced is now the master's child, the rest has failed."""
        missing = mold.batches.popleft() - len(mold.announced)
        announced, mold.announced, mold.reason = mold.announced, [], ""
        for newborn in announced:
            newborn.adopted = True
            if newborn in mold.unborn:
                self._add_spare_if_complete(newborn, facts)
        if missing:
            facts.append(ForkFailed(mold.generation, missing, reason))

    def _handle_from_newborn(self, newborn: _NewbornPeer, received: Received, facts: list[Fact]) -> None:
        if not isinstance(received.message, messages.Hello) or received.pid is None or newborn.pid is not None:
            raise MalformedMessage("a newborn must send Hello once, with its pid")
        newborn.pid = received.pid
        newborn.channel.verify_sender(False)
        self._add_spare_if_complete(newborn, facts)

    def _add_spare_if_complete(self, newborn: _NewbornPeer, facts: list[Fact]) -> None:
        """Make a newborn a spare once it has sent Hello and its batch has ended, if it is a child of the master."""
        if newborn.pid is None or not newborn.adopted:
            return
        mold = newborn.mold
        if newborn.pid in self._processes or not _is_child(newborn.pid) or newborn.pid == mold.pid:
            self._end(newborn, f"pid {newborn.pid} is not a new child of the master", facts)
            return
        mold.unborn.discard(newborn)
        process = _WorkerPeer(newborn.pid, newborn.channel)
        self._processes[process.pid] = process
        self._peers[process.channel.fileno()] = process
        facts.append(SpareForked(mold.generation, process.pid))

    def _handle_from_worker(self, process: _WorkerPeer, received: Received, facts: list[Fact]) -> None:
        match received.message:
            case messages.Hello():
                pass  # From a worker started by exec, whose pid is known.
            case messages.Busy() | messages.StacksWritten() as message:
                facts.append(HangMessage(process.pid, message))
            case message:
                told = OF_MESSAGE.get(type(message).__name__)
                if told is None:
                    raise MalformedMessage(f"a worker must not send {type(message).__name__}")
                facts.append(told(process.pid, *(getattr(message, each.name) for each in fields(message))))

    # Ends.

    def _end(self, peer: _Peer, reason: str, facts: list[Fact]) -> None:
        """Handle end of file (no reason), or a peer that broke the protocol."""
        match peer:
            case _MoldPeer():
                self._forget_mold(peer, reason, facts)
                facts.append(MoldDisconnected(peer.generation, reason))
            case _NewbornPeer(mold):
                self._drop(peer)
                mold.unborn.discard(peer)
                facts.append(ForkFailed(mold.generation, 1, reason or "the process exited before it was ready"))
            case _WorkerPeer(pid):
                self._drop(peer)
                if reason:
                    facts.append(WorkerFailed(pid, reason))
            case _:
                assert_never(peer)

    def _forget_mold(self, mold: _MoldPeer, reason: str, facts: list[Fact]) -> None:
        """Forget a mold and count its forks under way as failed: none of them has had an order."""
        refused = len(mold.unborn) + sum(mold.batches) - len(mold.announced)
        for newborn in mold.unborn:
            self._drop(newborn)
        self._drop(mold)
        self._molds.pop(mold.generation, None)
        if refused:
            facts.append(ForkFailed(mold.generation, refused, reason or "the mold has exited"))

    def _register(self, peer: _Peer) -> None:
        self._peers[peer.channel.fileno()] = peer
        self._epoll.register(peer.channel, select.EPOLLIN)

    def _drop(self, peer: _Peer) -> None:
        descriptor = peer.channel.fileno()
        if descriptor >= 0 and self._peers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
        peer.channel.close()


def _is_child(pid: int) -> bool:
    """Return whether a pid is a child of this process, dead or alive."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
