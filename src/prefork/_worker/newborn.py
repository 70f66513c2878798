"""A process that a mold has forked: it waits for its order, becomes that worker, and ends."""

from __future__ import annotations

import atexit
import faulthandler
import math
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING

from .._linux import lifeline
from .._linux.channel import Channel
from .._linux.drain_request import DRAIN
from .._linux.stacks import ASK, FORCE
from .._linux.tracing import ptracer
from .._records.record import record
from .._wire.messages import Drained, Failed, Order
from . import sharing
from .activity import requests_by_thread
from .assignment import Assignment, Reports
from .draining.drain import Drain
from .failure import describe
from .orphans.captured import Captured
from .orphans.orphan import Orphan, Patience

if TYPE_CHECKING:
    from .._linux.stacks import Stacks
    from .._wire.messages import Json
    from .._wire.scoreboard import Scoreboard

_WITHOUT_THREADS = 5.0
"""Seconds for exit handlers that may wait for threads which only the mold had."""
_SOON = 50
"""Milliseconds in which the order arrives unless it waits for another worker's death."""

on_order: Callable[[int], None] | None = None
"""Called with the row of this worker in the scoreboard, before its work. Set in the mold by what needs it."""


@record
class Inheritance:
    """What a newborn gets from its mold."""

    worker: Callable[[str, Json], Callable[[Assignment], None]]
    """The application's: see `Application.worker`."""
    drain: Drain
    board: Scoreboard
    stacks: Stacks
    orphan: Orphan


def live(channel: Channel, inheritance: Inheritance, meanwhile: Callable[[], None] | None) -> int:
    """Do everything from the fork to just before the interpreter's exit; return the exit status.

    `meanwhile` is called when the order does not arrive at once. A spare that the master dismisses ends in here, at
    once and without a log line: it has done nothing yet.
    """
    sharing.newborn()
    received = wait_for_order(channel, inheritance.drain, meanwhile)
    if received is None:
        os._exit(0)
    # Here and not in the mold, whose newborns it would cost pages: it would run after each of their forks.
    os.register_at_fork(after_in_child=_restore_signals)
    status, order = 1, received[0]
    try:
        if on_order is not None:
            on_order(order.row)
        status = work(channel, inheritance, *received)
        if inheritance.drain.requested:
            channel.try_send(Drained())  # The interpreter's exit takes longer than a successor's start.
        return status
    finally:
        _bound_exit(inheritance.drain, order.exit_timeout if status else order.finish_timeout)
        sharing.before_exit()


def _bound_exit(drain: Drain, timeout: float) -> None:
    """Let nothing block the exit for ever: a thread that is no daemon, an exit handler that waits.

    The stacks are written before the process ends: before the master kills it, too. A worker that has failed has less
    time, since it is replaced soon. Exit handlers, which follow the threads, get five seconds where the mold had
    threads that this process does not have: one that waits for such a thread would wait for ever.
    """
    if drain.deadline < math.inf:
        timeout = min(timeout, max(drain.deadline - monotonic() - drain.timeout / 20, 0.1))
    faulthandler.dump_traceback_later(timeout, exit=True, file=2)
    if sharing.lost_threads:
        atexit.register(faulthandler.dump_traceback_later, min(timeout, _WITHOUT_THREADS), exit=True, file=2)


def take_signals(orphan: Orphan, stacks: Stacks) -> None:
    """Install the signal handlers of newborns; called in the mold, whose memory they share."""
    ptracer.prepare()
    signal.set_wakeup_fd(-1)
    orphan.drain.catch(signal.SIGTERM, DRAIN)
    signal.signal(lifeline.ORPHANED, orphan.begin)
    # A handler and not SIG_IGN, which programs that the application starts would inherit.
    signal.signal(signal.SIGINT, _pass_over)
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        # The kernel would reap a newborn that dies before its intermediate does, and the master would not learn of it.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGINT, lifeline.ORPHANED, DRAIN])
    stacks.install()


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Ignore INT: it is for the master, which turns it into a drain."""


def _restore_signals() -> None:
    """Restore the default handlers of signals in a child that the application has forked, but for its own handlers.

    Children that execute another program have them anyway.
    """
    for number in (signal.SIGTERM, DRAIN, lifeline.ORPHANED, ASK):
        if getattr(signal.getsignal(number), "__module__", "").startswith("prefork."):
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is _pass_over:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.unregister(FORCE)


def wait_for_order(
    channel: Channel, drain: Drain, meanwhile: Callable[[], None] | None = None
) -> tuple[Order, list[int]] | None:
    """Wait as a spare for the order. None: the master has ended or dismisses this process, or TERM has come."""
    # At the fork and not on the order: so the master can kill the session that this pid leads, and a signal to the
    # mold's session does not come here. A process with an interpreter of its own has led one since its start.
    if os.getsid(0) != os.getpid():
        os.setsid()
    drain.begin()
    try:
        channel.send_hello()
    except OSError:
        return None  # The mold, the intermediate or the master has died meanwhile.
    waiting = select.poll()
    waiting.register(channel, select.POLLIN)
    waiting.register(drain.waker, select.POLLIN)
    if meanwhile is not None and not waiting.poll(_SOON):
        meanwhile()
        if drain.poll():
            return None
    while waiting.poll()[0][0] != channel.fileno():  # It was registered first, and is reported first.
        if drain.poll():
            return None
    received = channel.receive_order()
    if received is not None and received[0].master != os.getppid():
        return None  # The master has died since, and this process is a child of init or another subreaper.
    return received


def work(channel: Channel, inheritance: Inheritance, order: Order, descriptors: list[int]) -> int:
    """Run the worker's function; return its exit status, which it may give by SystemExit."""
    try:
        if order.captured:
            descriptors, inheritance.orphan.captured = _take_streams(descriptors)
        ptracer.admit(order.master)
        reports = Reports(channel, order.title, inheritance.drain)
        reports.starting()
        inheritance.orphan.reports = reports
        inheritance.stacks.channel, inheritance.stacks.requests = channel, requests_by_thread
        if order.environ:  # An update with nothing runs library code, whose pages would be each worker's own.
            os.environ.update(order.environ)
        if order.terms:
            from .._linux.terms import take

            take(order.key, order.terms)
        assignment = _assign(reports, inheritance, order, descriptors)
        inheritance.worker(order.key, order.context)(assignment)
    except SystemExit as exit_:
        return _status(exit_)
    except BaseException as error:
        text = describe(error)
        if not channel.try_send(Failed(text)):
            print(text, file=sys.stderr)
        return 1
    return 0


def _assign(reports: Reports, inheritance: Inheritance, order: Order, descriptors: list[int]) -> Assignment:
    drain, orphan = inheritance.drain, inheritance.orphan
    listeners = _open(order.listeners, descriptors[1:])
    orphan.patience, orphan.drain_timeout = Patience(order.orphan_grace, order.takeover_timeout), order.finish_timeout
    orphan.queues = [listeners[name] for name in order.own_queues]
    # KILL where there is no grace: the kernel ends even a worker that hangs.
    drain.lifeline = lifeline.arm(descriptors[0], lifeline.ORPHANED if order.orphan_grace > 0 else signal.SIGKILL)
    os.close(descriptors[0])
    return Assignment(
        key=order.key,
        generation=order.generation,
        listeners=listeners,
        drain=drain,
        explicit_ready=order.explicit_ready,
        report_ready=reports.ready,
        send=reports.send,
        report_busy=reports.busy,
        backlogs_to_drain=reports.backlogs_to_drain,
        board=inheritance.board,
        row=order.row,
        files=dict(zip(order.files, descriptors[1 + len(listeners) :])),  # noqa: B905 - As in `_open`.
    )


def _take_streams(descriptors: list[int]) -> tuple[list[int], Captured]:
    """Make the first two of the last six the standard output and error; return the others, and what the rest is."""
    *others, out, err, out_reader, err_reader, instead_of_out, instead_of_err = descriptors
    for number, descriptor in enumerate((out, err), 1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    return others, Captured([out_reader, err_reader], [instead_of_out, instead_of_err])


def _status(exit_: SystemExit) -> int:
    """Return the exit status that the interpreter makes of it."""
    if exit_.code is None or isinstance(exit_.code, int):
        return exit_.code or 0
    print(exit_.code, file=sys.stderr)
    return 1


def _open(names: tuple[str, ...], descriptors: list[int]) -> dict[str, socket.socket]:
    listeners = {}
    for name, descriptor in zip(names, descriptors):  # noqa: B905 - The master sends as many; a check costs pages.
        listeners[name] = socket.socket(fileno=descriptor)
        listeners[name].setblocking(False)
    return listeners
