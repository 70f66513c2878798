"""Loaded by a program that a test starts with this directory in PYTHONPATH: notes births, signals and ends, in order.

From outside no process can see with what status another process's child ended, or which of two system calls came first.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_NOTES = os.open(os.environ["TEST_OF_PREFORK_SPY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
_posix_spawn, _kill, _wait4 = os.posix_spawn, os.kill, os.wait4


def _note(text: str) -> None:
    os.write(_NOTES, f"{os.getpid()} {text}\n".encode())


def posix_spawn(*arguments: Any, **options: Any) -> int:
    pid = _posix_spawn(*arguments, **options)
    _note(f"started {pid}")
    return pid


def kill(pid: int, number: int) -> None:
    _kill(pid, number)
    _note(f"sent {int(number)} to {pid}")


def wait4(pid: int, options: int) -> tuple[int, int, Any]:
    pid, status, usage = _wait4(pid, options)
    _note(f"reaped {pid} {os.waitstatus_to_exitcode(status)}")
    return pid, status, usage


if not sys.flags.ignore_environment:
    os.posix_spawn, os.kill, os.wait4 = posix_spawn, kill, wait4
