"""Processes that a hook forks: copies of the master that must not go on as one."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from .._linux.signals import SignalInbox


@contextmanager
def reset_children(signals: SignalInbox, lifeline: int) -> Iterator[None]:
    """Reset what makes this process a master in each process that is forked meanwhile.

    That is its signal handlers, which only note signals for a loop that the child does not run, and the lifeline's
    write end, which would keep workers from learning of the master's death. Signals are blocked across the fork: one
    that came before the handlers are restored would be lost.
    """
    entered = True
    mask: set[int] = set()

    def before() -> None:
        mask.clear()
        if entered:
            mask.update(signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()))

    def in_parent() -> None:
        if entered:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def in_child() -> None:
        nonlocal entered
        if entered:
            entered = False  # Not again in this child's children.
            signals.restore()
            os.close(lifeline)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    # It cannot be undone: hence `entered`.
    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)
    try:
        yield
    finally:
        entered = False


@contextmanager
def one_process() -> Iterator[None]:
    """Let only this process leave the block. A child that was forked in it exits there as a program would."""
    pid = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() == pid:
            raise
        _end(error)
    if os.getpid() != pid:
        _end(None)


def _end(error: BaseException | None) -> NoReturn:
    """Exit without unwinding further: the frames above are the master's."""
    status: object = None
    if isinstance(error, SystemExit):
        status = error.code
    elif error is not None:
        traceback.print_exception(error)
        status = 1
    if not isinstance(status, int | None):
        print(status, file=sys.stderr)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # There is none, or no process reads it, or it is closed.
            stream.flush()
    os._exit((status or 0) & 0xFF)
