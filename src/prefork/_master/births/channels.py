"""The master's side of births: what comes from molds and from the processes that they fork, as plain facts.

One descriptor stands for all of them in the master's loop. Nothing here waits, nothing decides, and no peer
is trusted: they may have dropped privileges that the master still has. What breaks the protocol is not
listened to any more. Orders go out without an answer whether they arrived: where the peer is dead or
stopped, its end or the deadline of the order says so, and there would be nothing else to do about it.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from ..._core.events import (
    BirthFailed,
    MoldFailed,
    PlanFailed,
    SpareBorn,
    WorkerDrained,
    WorkerFailed,
    WorkerReady,
    WorkerWornOut,
)
from ..._linux.channel import Channel, DescriptorsLost, Received
from ..._wire import messages
from ..._wire.messages import MalformedMessage, Message

_TURN = 64  # messages from one peer before the others have theirs: a flood must not starve the loop


@dataclass(frozen=True, slots=True)
class PlanReceived:
    """A mold has computed a plan: data not yet validated, and what the user should be told with it."""

    generation: int
    plan: messages.Json
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HangMessage:
    """A worker has told something that concerns the watch for hangs: `Busy`, or `StacksWritten`."""

    pid: int
    message: messages.Busy | messages.StacksWritten


@dataclass(frozen=True, slots=True)
class MoldDisconnected:
    """Nothing more will be heard of this mold: end of file, or it broke the protocol (`reason` says how).

    Births under way have been refused, and told as `BirthFailed` before this. The process may still live.
    """

    generation: int
    reason: str


Fact = (
    PlanReceived
    | MoldFailed
    | PlanFailed
    | MoldDisconnected
    | SpareBorn
    | BirthFailed
    | WorkerReady
    | WorkerDrained
    | WorkerWornOut
    | WorkerFailed
    | HangMessage
)


@dataclass(eq=False, slots=True)
class _Mold:
    generation: int
    pid: int
    channel: Channel
    asked: bool = False
    """It owes a plan."""
    planned: bool = False
    batches: deque[int] = field(default_factory=deque)
    """Births ordered and not ended, one number for each Fork."""
    announced: list[_Newborn] = field(default_factory=list)
    """Those of the first of these batches."""
    unborn: set[_Newborn] = field(default_factory=set)
    """Announced, in this batch or an earlier one, and not born yet."""
    reason: str = ""


@dataclass(eq=False, slots=True)
class _Newborn:
    mold: _Mold
    channel: Channel
    pid: int | None = None
    adopted: bool = False


@dataclass(eq=False, slots=True)
class _Process:
    """A spare or a worker."""

    pid: int
    channel: Channel


_Source = _Mold | _Newborn | _Process


class ProcessChannels:
    """All molds, newborns, spares and workers of one master."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sources: dict[int, _Source] = {}
        self._molds: dict[int, _Mold] = {}
        self._processes: dict[int, _Process] = {}

    def fileno(self) -> int:
        """Readable when `read` has something to tell."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Close every channel: spares end, molds end, workers do not mind."""
        for source in list(self._sources.values()):
            self._drop(source)
        self._epoll.close()

    def add_mold(self, generation: int, pid: int, channel: Channel) -> None:
        """Listen to a mold that has been started."""
        mold = _Mold(generation, pid, channel)
        self._molds[generation] = mold
        self._listen(mold)

    def add_process(self, pid: int, channel: Channel) -> None:
        """Listen to a spare or worker that did not come from a mold here: inherited, or started by exec."""
        process = _Process(pid, channel)
        self._processes[pid] = process
        self._listen(process)

    # Orders.

    def compute_plan(self, generation: int, settings: messages.Json = None) -> None:
        """Answered by PlanReceived, MoldFailed or PlanFailed, or by MoldDisconnected."""
        if (mold := self._molds.get(generation)) is not None:
            mold.asked = True
        self._send(mold, messages.ComputePlan(settings))

    def breed(self, generation: int, count: int) -> None:
        """Answered by `count` births: each a SpareBorn or counted in a BirthFailed."""
        if (mold := self._molds.get(generation)) is not None:
            mold.batches.append(count)
        self._send(mold, messages.Fork(count))

    def end_mold(self, generation: int) -> None:
        """Let the mold read end of file, on which it exits; what it still says is heard."""
        if (mold := self._molds.get(generation)) is not None:
            mold.channel.close_sending()

    def order(self, pid: int, order: messages.Order, descriptors: Sequence[int]) -> None:
        """Make a spare a worker. `descriptors`: the lifeline's read end, then the order's listeners."""
        self._send(self._processes.get(pid), order, descriptors)

    def abandon(self, pid: int, listeners: Sequence[str]) -> None:
        """Tell a worker, before it is told to drain, whose queues it is the last to take from."""
        self._send(self._processes.get(pid), messages.DrainBacklogs(tuple(listeners)))

    def dismiss(self, pid: int) -> None:
        """Let a spare exit; it is forgotten."""
        if (process := self._processes.pop(pid, None)) is not None:
            self._drop(process)

    @staticmethod
    def _send(peer: _Mold | _Process | None, message: Message, descriptors: Sequence[int] = ()) -> None:
        if peer is None:
            return  # its end has been read already, and is told with the facts of this turn
        try:
            peer.channel.send(message, descriptors, wait=False)
        except OSError:
            pass  # gone, stopped with a full buffer, or no descriptor free for a large message: see the head

    # Facts.

    def read(self) -> list[Fact]:
        """What there is to be told now; more may wait, and keeps `fileno` readable."""
        facts: list[Fact] = []
        for descriptor, _ in self._epoll.poll(0):
            self._read_source(descriptor, facts, _TURN)
        return facts

    def finish(self, pid: int) -> list[Fact]:
        """All that a process had said before it ended; then it is forgotten. Nothing for an unknown pid."""
        facts: list[Fact] = []
        if (process := self._processes.pop(pid, None)) is not None:
            self._read_source(process.channel.fileno(), facts, _TURN)
            self._drop(process)
        return facts

    def finish_mold(self, generation: int) -> list[Fact]:
        """All that a mold had said before it ended; births still under way are refused, and it is forgotten.

        For when it has been reaped and its session killed: end of file need not have come, nor ever come.
        """
        facts: list[Fact] = []
        if (mold := self._molds.get(generation)) is not None:
            self._read_source(mold.channel.fileno(), facts, _TURN + sum(mold.batches))
            self._silence(mold, "", facts)
        return facts

    def _read_source(self, descriptor: int, facts: list[Fact], most: int) -> None:
        """As much as there is, but at most so many messages."""
        for _ in range(most):
            # Looked up each time: with one message a newborn becomes a spare, or a peer is listened to no
            # more.
            source = self._sources.get(descriptor)
            if source is None:
                return
            try:
                received = source.channel.receive(wait=False)
                if received is None:
                    self._end(source, "", facts)
                    return
                self._take(source, received, facts)
            except BlockingIOError:
                return
            except DescriptorsLost as error:
                if not (isinstance(source, _Mold) and source.batches):
                    self._end(source, str(error), facts)
                    return
                # What was lost is a newborn, which has read the end of its channel; its batch will be one
                # short.
                source.reason = str(error)
            except (MalformedMessage, OSError) as error:
                self._end(source, str(error), facts)
                return

    def _take(self, source: _Source, received: Received, facts: list[Fact]) -> None:
        match source:
            case _Mold():
                self._take_from_mold(source, received, facts)
            case _Newborn():
                self._take_from_newborn(source, received, facts)
            case _Process():
                self._take_from_process(source, received, facts)
            case _:
                assert_never(source)

    def _take_from_mold(self, mold: _Mold, received: Received, facts: list[Fact]) -> None:
        match received.message:
            case messages.ChildAnnounced():
                channel = Channel.from_descriptor(*received.descriptors)
                if not mold.batches or len(mold.announced) == mold.batches[0]:
                    channel.close()
                    raise MalformedMessage("a birth that was not ordered")
                channel.verify_sender(True)
                newborn = _Newborn(mold, channel)
                mold.announced.append(newborn)
                mold.unborn.add(newborn)
                self._listen(newborn)
            case messages.ForkFailed(reason):
                mold.reason = reason
            case messages.ForksEnded(ordered, reason):
                if not mold.batches or ordered != mold.batches[0]:
                    raise MalformedMessage("the end of births that were not ordered")
                self._adopt(mold, mold.reason or reason, facts)
            case messages.Planned(plan, warnings):
                if not mold.asked:
                    raise MalformedMessage("a plan that was not asked for")
                mold.asked, mold.planned = False, True
                facts.append(PlanReceived(mold.generation, plan, warnings))
            case messages.StepFailed(step, text):
                mold.asked = False
                failed = PlanFailed if mold.planned else MoldFailed
                facts.append(failed(mold.generation, f"{step} failed:\n{text}"))
            case message:
                raise MalformedMessage(f"a mold does not say {type(message).__name__}")

    def _adopt(self, mold: _Mold, reason: str, facts: list[Fact]) -> None:
        """The first batch has ended: what it announced is the master's, what it did not has failed."""
        missing = mold.batches.popleft() - len(mold.announced)
        announced, mold.announced, mold.reason = mold.announced, [], ""
        for newborn in announced:
            newborn.adopted = True
            if newborn in mold.unborn:
                self._perhaps_born(newborn, facts)
        if missing:
            facts.append(BirthFailed(mold.generation, missing, reason))

    def _take_from_newborn(self, newborn: _Newborn, received: Received, facts: list[Fact]) -> None:
        if not isinstance(received.message, messages.Hello) or received.pid is None or newborn.pid is not None:
            raise MalformedMessage("a newborn says Hello, once, and who it is")
        newborn.pid = received.pid
        newborn.channel.verify_sender(False)
        self._perhaps_born(newborn, facts)

    def _perhaps_born(self, newborn: _Newborn, facts: list[Fact]) -> None:
        """Born is what has said Hello and is adopted; the kernel has the last word on whose child it is."""
        if newborn.pid is None or not newborn.adopted:
            return
        mold = newborn.mold
        if newborn.pid in self._processes or not _is_child(newborn.pid) or newborn.pid == mold.pid:
            self._end(newborn, f"pid {newborn.pid} is no new child of the master", facts)
            return
        mold.unborn.discard(newborn)
        process = _Process(newborn.pid, newborn.channel)
        self._processes[process.pid] = process
        self._sources[process.channel.fileno()] = process
        facts.append(SpareBorn(mold.generation, process.pid))

    def _take_from_process(self, process: _Process, received: Received, facts: list[Fact]) -> None:
        match received.message:
            case messages.Hello():
                pass  # From one that was started by exec, whose pid is known.
            case messages.Ready():
                facts.append(WorkerReady(process.pid))
            case messages.Drained():
                facts.append(WorkerDrained(process.pid))
            case messages.ReplacementRequested(reason):
                facts.append(WorkerWornOut(process.pid, reason))
            case messages.Busy() | messages.StacksWritten() as message:
                facts.append(HangMessage(process.pid, message))
            case messages.Failed(text):
                facts.append(WorkerFailed(process.pid, text))
            case message:
                raise MalformedMessage(f"a worker does not say {type(message).__name__}")

    # Ends.

    def _end(self, source: _Source, reason: str, facts: list[Fact]) -> None:
        """End of file (without a reason), or what amounts to it."""
        match source:
            case _Mold():
                self._silence(source, reason, facts)
                facts.append(MoldDisconnected(source.generation, reason))
            case _Newborn(mold):
                self._drop(source)
                mold.unborn.discard(source)
                facts.append(BirthFailed(mold.generation, 1, reason or "it ended before it was born"))
            case _Process(pid):
                self._drop(source)
                if reason:
                    facts.append(WorkerFailed(pid, reason))
            case _:
                assert_never(source)

    def _silence(self, mold: _Mold, reason: str, facts: list[Fact]) -> None:
        """Refuse every birth that has not been told as one: none of them has had an order."""
        refused = len(mold.unborn) + sum(mold.batches) - len(mold.announced)
        for newborn in mold.unborn:
            self._drop(newborn)
        self._drop(mold)
        self._molds.pop(mold.generation, None)
        if refused:
            facts.append(BirthFailed(mold.generation, refused, reason or "the mold has ended"))

    def _listen(self, source: _Source) -> None:
        self._sources[source.channel.fileno()] = source
        self._epoll.register(source.channel, select.EPOLLIN)

    def _drop(self, source: _Source) -> None:
        descriptor = source.channel.fileno()
        if descriptor >= 0 and self._sources.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
        source.channel.close()


def _is_child(pid: int) -> bool:
    """Whether it is a child of this process, dead or alive."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
