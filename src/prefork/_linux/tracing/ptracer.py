"""Admits the master, and what it starts, as readers of a worker's memory where Yama keeps other processes out.

With `kernel.yama.ptrace_scope` 1 a process may read its own descendants only. A reader is none of a worker's ancestors,
but it descends from the master, and a process may name one whose descendants may read it (prctl(2), PR_SET_PTRACER).
With 2 and 3 no process without CAP_SYS_PTRACE may, or none at all: there is nothing to name.
"""

from __future__ import annotations

from typing import Any

_SCOPE = "/proc/sys/kernel/yama/ptrace_scope"
_PR_SET_PTRACER = 0x59616D61  # <linux/prctl.h>

_prctl: Any = None


def prepare(scope: str = _SCOPE) -> None:
    """Load what `admit` needs, where the kernel asks for it; called in the mold, whose memory its workers share."""
    global _prctl
    try:
        with open(scope, encoding="ascii") as file:
            needed = file.read().strip() == "1"
    except OSError:
        return  # This kernel does not have Yama.
    if needed:
        import ctypes  # Half a megabyte, and the standard library has no other way.

        _prctl = ctypes.CDLL(None).prctl
        _prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def admit(master: int) -> None:
    """Let the master's descendants read this process; nothing where `prepare` found no need. Not inherited by forks."""
    if _prctl is not None:
        _prctl(_PR_SET_PTRACER, master, 0, 0, 0)  # EINVAL from a kernel without Yama: then there is no need.
