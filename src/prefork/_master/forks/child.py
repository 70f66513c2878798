"""A child of the master: forked for one function, or for another program."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from ..._wire.printable import printable


def forked(become: Callable[[], object]) -> int:
    """Fork a child that leads a session, calls `become` and ends; return its pid. Raises OSError.

    It exits with 0 when `become` returns, and with 127 when that raises, which is written to its standard error. It
    runs nothing else of the master. Every signal is blocked in it until `execute`: the master's handlers would write to
    the wake-up pipe, which both share.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _end_as(become)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


def _end_as(become: Callable[[], object]) -> NoReturn:
    status = 127
    try:
        os.setsid()
        become()
        status = 0
    except BaseException as error:
        os.write(2, f"prefork: {printable(f'{type(error).__name__}: {error}')}\n".encode())
    finally:
        os._exit(status)


def execute(command: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Become another program, which gets signals as a new process does. Raises OSError."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execve(command[0], list(command), environ)
