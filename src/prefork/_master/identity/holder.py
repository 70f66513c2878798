"""Which process has an abstract Unix socket's name, and what it has open: read when a start is refused."""

from __future__ import annotations

import _socket as socket
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import process_time

from ..._linux.credentials import peer_of
from ..._records.record import record


@record
class Holder:
    """The process that has a name; pid 0 if the kernel does not show it, uid None if it cannot be told."""

    pid: int
    uid: int | None


def holder_of(name: bytes) -> Holder | None:
    """Return the process that has this name; None if none has it, or none that can be found listens."""
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        asking.connect(name)
        pid, uid, _ = peer_of(asking)
        return Holder(pid, uid)
    except BlockingIOError:
        return _found(name) or Holder(0, None)  # Its queue is full, of those who have asked.
    except OSError:
        return _found(name)
    finally:
        asking.close()


def _found(name: bytes) -> Holder | None:
    """Return the process that has this name, among those whose descriptors this user may see."""
    with open("/proc/net/unix", "rb") as file:
        lines = [line.split(maxsplit=7) for line in file]
    inodes = [line[6].decode() for line in lines if line[7:] and line[7].strip() == b"@" + name[1:]]
    for pid in processes_with(inodes):
        with suppress(OSError):
            return Holder(pid, os.stat(f"/proc/{pid}").st_uid)
    return None


def processes_with(inodes: Iterable[str], until: float = math.inf) -> list[int]:
    """Return the processes that have one of these sockets open, as far as this user may see it.

    The search ends when this process has had `until` seconds of processor time.
    """
    sockets = {f"socket:[{inode}]" for inode in inodes}
    found: list[int] = []
    for pid in (int(each) for each in os.listdir("/proc") if sockets and each.isdecimal()):
        if process_time() > until:
            break
        if not sockets.isdisjoint(_open_in(pid)):
            found.append(pid)
    return found


def _open_in(pid: int) -> Iterator[str]:
    """Yield what the descriptors of a process are, as far as this user may see them."""
    with suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{number}")


def runtime_of(pid: int) -> str:
    """Return the runtime directory of a master: where the lock is that it has open. Empty if it cannot be told."""
    found = (each for each in _open_in(pid) if each.endswith("/lock")) if pid else iter(())
    return os.path.dirname(next(found, ""))
