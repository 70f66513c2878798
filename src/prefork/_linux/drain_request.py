"""How a worker is asked to drain, whatever the application has done with SIGTERM.

`DRAIN` is prefork's own signal: an application that handles, ignores or restores SIGTERM does not swallow it. SIGTERM
is sent as well: for handlers of the application, for a process that waits by sigwait(3), and for one that executes
another program by now.
"""

from __future__ import annotations

import signal

DRAIN = signal.SIGRTMIN + 5

_MASKS = (b"SigBlk:", b"SigIgn:", b"SigCgt:")


def signals_for(pid: int) -> tuple[int, ...]:
    """Return the signals that ask a process to drain: SIGTERM, unless it would kill a worker, and DRAIN for a worker.

    A process without a handler for DRAIN, such as another program that a worker has executed, would end by it.
    """
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            fields = (line.split() for line in file)
            blocked, ignored, caught = (int(field[1], 16) for field in fields if field[0] in _MASKS)
    except (OSError, ValueError):
        return (signal.SIGTERM,)
    if not caught & _bit(DRAIN):
        return (signal.SIGTERM,)
    return (DRAIN, signal.SIGTERM) if (blocked | ignored | caught) & _bit(signal.SIGTERM) else (DRAIN,)


def _bit(number: int) -> int:
    return 1 << number - 1
