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
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from .._errors import InternalError
from . import lifeline, sharing, title
from .assignment import Assignment
from .failure import describe
from .peers import Peers
from .wire import Failed, Hello, Order, Ready

if TYPE_CHECKING:
    from .application import Application
    from .channel import Channel
    from .drain import Drain
    from .scoreboard import Scoreboard


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
    signal.set_wakeup_fd(-1)
    drain.catch(signal.SIGTERM)
    # A handler and not SIG_IGN, which programs that the application starts would inherit.
    signal.signal(signal.SIGINT, _pass_over)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGINT, lifeline.ORPHANED])


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
    received = channel.receive()
    if received is None:
        return None
    if not isinstance(received.message, Order):
        raise InternalError(f"a spare was told {received.message}")
    return received.message, received.descriptors


def _work(channel: Channel, inheritance: Inheritance, order: Order, descriptors: tuple[int, ...]) -> int:
    """Be the worker; return its exit status, which it may say by SystemExit."""
    try:
        title.set_title(order.title)
        if order.environ:
            os.environ.update(order.environ)
        _watch_master(descriptors[0], order.orphan_grace, inheritance.drain)
        board = inheritance.board
        assignment = Assignment(
            key=order.key,
            generation=order.generation,
            listeners=_open(order.listeners, descriptors[1:]),
            drain=inheritance.drain,
            explicit_ready=order.explicit_ready,
            report_ready=_once(lambda: channel.tell(Ready())),
            row=board.worker_half(order.row) if order.row >= 0 else None,
            peers=Peers(board, order.row) if order.row >= 0 and board.group(order.row) else None,
        )
        inheritance.application.worker(order.key, order.context)(assignment)
    except SystemExit as exit_:
        return _status(exit_)
    except BaseException as error:
        text = describe(error)
        if not channel.tell(Failed(text)):
            print(text, file=sys.stderr)
        return 1
    return 0


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


def _watch_master(reader: int, grace: float, drain: Drain) -> None:
    """Serve on for `grace` seconds after the master's death, drain for as long at most; with none, die with it."""

    def drain_later() -> None:
        time.sleep(grace)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os.killpg(os.getpid(), signal.SIGKILL)  # There is no master to do it; it leads the session that it was born to.

    def count_down(number: int, frame: FrameType | None) -> None:
        drain.orphaned = True
        # Not threading.Timer: each fork would have the work of making that module's locks anew.
        _thread.start_new_thread(drain_later, ())

    if grace > 0:
        signal.signal(lifeline.ORPHANED, count_down)
    # KILL where there is no grace: the kernel then ends even a worker that hangs.
    lifeline.arm(reader, lifeline.ORPHANED if grace > 0 else signal.SIGKILL)
    os.close(reader)
