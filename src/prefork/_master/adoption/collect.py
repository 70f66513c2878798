"""Collects from orphans the open files that a dead master had passed to them.

A child of the master asks: what a hostile worker sends may take for ever to close (`channels.rights`), and whatever the
child does not recognise is closed by its exit, for which nothing waits. It passes on what has the mark that the dead
master has noted.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Collection, Mapping
from contextlib import suppress
from time import monotonic

from ..._errors import SystemFailure
from ..._linux.channel import Channel, Received
from ..._linux.descriptors import close_others
from ..._linux.proc_stat import started_at
from ..._records.record import record
from ..._wire.messages import HandedOver, HandOver, MalformedMessage
from ..forks.child import forked
from .marks import Mark, is_marked
from .orphan_sockets import connected

_BASE, _EACH = 5.0, 0.02
"""Seconds that orphans have for their answers: all of them, and each one more. One that hangs cannot answer."""
_PAUSE = 0.02
"""Seconds between two tries to connect: an orphan listens a moment after its master's death."""
_TRIES = 3
"""How often one is asked. A master that has adopted it and died at once closed the connections that waited there."""


@record
class Wanted:
    """What a master looks for: marks, by name, and which of them each orphan may have, by pid."""

    lifeline: int
    marks: Mapping[str, Mark]
    asked: Mapping[int, tuple[str, ...]]


@record
class Collected:
    """What has been found: descriptors by the names of their marks, and the pids of the orphans that have answered."""

    descriptors: dict[str, int]
    answered: frozenset[int]

    def close(self, used: Collection[int] = ()) -> None:
        """Close all of them but those that are used."""
        for descriptor in self.descriptors.values():
            if descriptor not in used:
                os.close(descriptor)


def collect(wanted: Wanted) -> Collected:
    """Ask all orphans, for some seconds at most; return what they have. Raises SystemFailure."""
    try:
        ours, theirs = Channel.pair()
        pid = forked(lambda: _ask_all(ours, theirs, wanted))
    except OSError as error:
        raise SystemFailure(f"cannot start a process that asks them: {error.strerror}") from None
    theirs.close()
    try:
        return _received(ours, monotonic() + 1 + _time_for(wanted))
    finally:
        ours.close()
        os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # If it has not ended yet, it is reaped as a leftover process.


def _ask_all(ours: Channel, theirs: Channel, wanted: Wanted) -> None:
    """Be the child."""
    ours.close()
    close_others([theirs.fileno()])  # A successor must not wait for this process to have the lock.
    _Asking(wanted, theirs).run()


def _time_for(wanted: Wanted) -> float:
    return _BASE + _EACH * len(wanted.asked)


def _received(channel: Channel, deadline: float) -> Collected:
    found, answered = dict[str, int](), set[int]()
    waiting = select.poll()
    waiting.register(channel, select.POLLIN)
    while waiting.poll(max(0.0, deadline - monotonic()) * 1000):
        received = channel.receive(wait=False)
        if received is None:
            break
        assert isinstance(received.message, HandedOver)
        pid, *names = received.message.found
        answered.add(int(pid))
        found.update(zip(names, received.descriptors, strict=False))
    return Collected(found, frozenset(answered))


class _Asking:
    """The child: it asks all orphans at once."""

    def __init__(self, wanted: Wanted, result: Channel) -> None:
        self._wanted = wanted
        self._result = result
        self._left = dict.fromkeys(wanted.asked, _TRIES)
        self._connections: dict[int, tuple[int, int, Channel]] = {}
        self._heard: list[Channel] = []
        self._passed: set[str] = set()
        self._poll = select.poll()

    def run(self) -> None:
        """Ask until all have answered, or the time has passed."""
        deadline = monotonic() + _time_for(self._wanted)
        while (self._left or self._connections) and monotonic() < deadline:
            for pid in list(self._left):
                try:
                    self._ask(pid)
                except OSError:  # It does not listen yet, or never will.
                    if started_at(pid) is None:
                        del self._left[pid]
            for descriptor, _ in self._poll.poll(_PAUSE * 1000):
                self._hear(*self._connections[descriptor])

    def _ask(self, pid: int) -> None:
        channel = Channel(connected(pid, self._wanted.lifeline))
        channel.send(HandOver(self._wanted.asked[pid]), wait=False)
        self._connections[channel.fileno()] = pid, self._left.pop(pid) - 1, channel
        self._poll.register(channel, select.POLLIN)

    def _hear(self, pid: int, tries: int, channel: Channel) -> None:
        received: Received | None = None
        with suppress(OSError, MalformedMessage):
            received = channel.receive(wait=False)
        # Not closed before this process ends: more may wait there than was read.
        self._poll.unregister(channel)
        self._heard.append(self._connections.pop(channel.fileno())[-1])
        if received is not None and isinstance(received.message, HandedOver):
            self._pass_on(pid, dict(zip(received.message.found, received.descriptors, strict=False)))
        elif tries:
            self._left[pid] = tries

    def _pass_on(self, pid: int, found: dict[str, int]) -> None:
        marks = self._wanted.marks
        known = {name: number for name, number in found.items() if name in marks and is_marked(number, marks[name])}
        new = {name: number for name, number in known.items() if name not in self._passed}
        self._passed.update(new)
        self._result.send(HandedOver((str(pid), *new)), tuple(new.values()))
        for number in known.values():
            os.close(number)  # What it is says that this does not wait.
