"""The life of a process that a mold has forked: it waits for its order, becomes that worker, and ends."""

from __future__ import annotations

import _thread
import faulthandler
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from .._errors import InternalError
from . import lifeline, sharing, title
from .assignment import Assignment
from .channel import Channel
from .drain import Drain
from .failure import describe
from .wire import Abandon, Failed, Hello, Order, Ready, WornOut, decode_order

if TYPE_CHECKING:
    from .application import Application
    from .scoreboard import Scoreboard

_REHEARSALS = 8
"""CPython 3.11 to 3.13 adapts an instruction within its first eight runs."""


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a newborn has from its mold."""

    application: Application
    drain: Drain
    board: Scoreboard


def live(channel: Channel, inheritance: Inheritance) -> int:
    """Everything from birth to the last deed before the interpreter's exit, whose status is returned.

    A spare that is not wanted any more ends in here, at once and in silence: it has done nothing yet.
    """
    # At birth and not on the order: so whoever knows this pid can kill the session that it leads, and a
    # signal to the mold's never comes here. One with an interpreter of its own leads one since its start.
    if os.getsid(0) != os.getpid():
        os.setsid()
    drain = inheritance.drain
    drain.begin()
    try:
        channel.introduce(Hello())
    except OSError:
        os._exit(0)  # refused already: the mold or the intermediate has died half-way, or the master has
    sharing.newborn()
    received = _wait_for_order(channel, drain)
    if received is None:
        os._exit(0)
    order, descriptors = received
    if os.getppid() != order.master:
        os._exit(0)  # the master has died since; init, or another subreaper, has no use for us
    try:
        return _work(channel, inheritance, order, descriptors)
    finally:
        # Nothing may hold the exit for ever: a thread that is no daemon, an exit handler that waits. What
        # this writes before it ends the process says who did.
        faulthandler.dump_traceback_later(order.exit_timeout, exit=True, file=2)
        sharing.before_exit()


def take_signals(drain: Drain) -> None:
    """What newborns are to find in place; called in the mold, whose memory they share."""

    def orphaned(number: int, frame: FrameType | None) -> None:
        drain.orphaned = True
        # Not threading.Timer: each fork would have the work of making that module's locks anew.
        _thread.start_new_thread(_drain_later, (drain.orphan_grace,))

    signal.set_wakeup_fd(-1)
    drain.catch(signal.SIGTERM)
    signal.signal(lifeline.ORPHANED, orphaned)
    # A handler and not SIG_IGN, which programs that the application starts would inherit.
    signal.signal(signal.SIGINT, _pass_over)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGINT, lifeline.ORPHANED])


def rehearse(inheritance: Inheritance, reader: int) -> None:
    """Take a newborn's first steps in the mold, and undo them, until nothing of them is new to the interpreter.

    CPython adapts code where it runs, and fills caches and free lists: what is adapted before the fork is shared, and
    what is adapted after it is a page of each worker's own.
    """
    order = Order("rehearsal/0", 1, None, os.getpid(), "", ("rehearsal",), orphan_grace=1.0, row=0)
    for _ in range(_REHEARSALS):
        master, channel = Channel.pair()
        channel.introduce(Hello())
        master.receive()
        master.send(order, [reader, channel.fileno()])
        drain = Drain()
        drain.begin()
        received = _wait_for_order(channel, drain)
        assert received is not None
        assignment = _assign(channel, replace(inheritance, drain=drain), *received)
        assignment.report_ready()
        assignment.listeners["rehearsal"].close()
        for end in (master, channel, drain):
            end.close()


def _pass_over(number: int, frame: FrameType | None) -> None:
    """INT is for the master, which turns it into a drain."""


def _wait_for_order(channel: Channel, drain: Drain) -> tuple[Order, tuple[int, ...]] | None:
    """None when there will be none: the master has gone or dismisses this spare, or somebody sent it TERM."""
    waiting = select.poll()
    waiting.register(channel, select.POLLIN)
    waiting.register(drain.waker, select.POLLIN)
    while channel.fileno() not in [descriptor for descriptor, _ in waiting.poll()]:
        if drain.look():
            return None
    received = channel.receive(decode=decode_order)
    if received is None:
        return None
    if not isinstance(received.message, Order):
        raise InternalError(f"a spare was told {received.message}")
    return received.message, received.descriptors


def _work(channel: Channel, inheritance: Inheritance, order: Order, descriptors: tuple[int, ...]) -> int:
    """Be the worker; return its exit status, which it may say by SystemExit."""
    try:
        if order.captured:
            descriptors = _take_streams(descriptors)
        inheritance.drain.on_notice = partial(title.show, order.title, "draining")
        _call_it(order.title, "starting", inheritance.drain)
        if order.environ:
            os.environ.update(order.environ)
        assignment = _assign(channel, inheritance, order, descriptors)
        inheritance.application.worker(order.key, order.context)(assignment)
    except SystemExit as exit_:
        return _status(exit_)
    except BaseException as error:
        text = describe(error)
        if not channel.tell(Failed(text)):
            print(text, file=sys.stderr)
        return 1
    return 0


def _assign(channel: Channel, inheritance: Inheritance, order: Order, descriptors: tuple[int, ...]) -> Assignment:
    drain = inheritance.drain
    # KILL where there is no grace: the kernel then ends even a worker that hangs.
    drain.orphan_grace = order.orphan_grace
    drain.lifeline = lifeline.arm(descriptors[0], lifeline.ORPHANED if order.orphan_grace > 0 else signal.SIGKILL)
    os.close(descriptors[0])
    return Assignment(
        key=order.key,
        generation=order.generation,
        listeners=_open(order.listeners, descriptors[1:]),
        drain=drain,
        explicit_ready=order.explicit_ready,
        report_ready=_once(partial(_tell_ready, channel, order.title, drain)),
        report_worn_out=partial(_tell_worn_out, channel),
        abandoned=partial(_abandoned, channel, set()),
        board=inheritance.board,
        row=order.row,
    )


def _take_streams(descriptors: tuple[int, ...]) -> tuple[int, ...]:
    """Make the last two the standard output and error; return the others."""
    for number, descriptor in enumerate(descriptors[-2:], 1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    return descriptors[:-2]


def _tell_ready(channel: Channel, text: str, drain: Drain) -> None:
    channel.tell(Ready())
    _call_it(text, "ready", drain)


def _call_it(text: str, state: str, drain: Drain) -> None:
    title.show(text, state)
    if drain.noticed:  # Looked at after it: the signal may have come in between, and its handler was first.
        title.show(text, "draining")


def _tell_worn_out(channel: Channel, reason: str) -> None:
    channel.tell(WornOut(reason))


def _abandoned(channel: Channel, known: set[str]) -> frozenset[str]:
    """Take in what the master has said since the order; it says it before the signal that makes anybody ask."""
    try:
        while (received := channel.receive(wait=False)) is not None:
            if isinstance(received.message, Abandon):
                known.update(received.message.listeners)
    except BlockingIOError:
        pass  # That was all.
    return frozenset(known)


def _status(exit_: SystemExit) -> int:
    """What the interpreter makes of it."""
    if isinstance(exit_.code, int):
        return exit_.code
    if exit_.code is not None:
        print(exit_.code, file=sys.stderr)
    return int(exit_.code is not None)


def _open(names: tuple[str, ...], descriptors: tuple[int, ...]) -> dict[str, socket.socket]:
    listeners = {}
    for name, descriptor in zip(names, descriptors, strict=True):
        listeners[name] = socket.socket(fileno=descriptor)
        listeners[name].setblocking(False)
    return listeners


def _once(action: Callable[[], object]) -> Callable[[], None]:
    due = [action]

    def act() -> None:
        try:
            action = due.pop()  # atomic: of several threads that come to their first wait one says it
        except IndexError:
            return
        action()

    return act


def _drain_later(grace: float) -> None:
    """The master has died: serve on for so many seconds, and drain for as long at most."""
    time.sleep(grace)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os.killpg(os.getpid(), signal.SIGKILL)  # There is no master to do it; it leads the session that it was born to.
