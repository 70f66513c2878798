"""What the processes of a daemon hold open, by what it is: read from /proc, and from the kernel's own comparison."""

from __future__ import annotations

import ctypes
import os
import platform
from collections import Counter
from pathlib import Path

import pytest

_KCMP = {"x86_64": 312, "aarch64": 272}.get(platform.machine())
_KCMP_FILE = 0
_SEQPACKET, _STREAM = "0005", "0001"


class Held:
    """The descriptors of one process, above its standard streams."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.links: dict[int, str] = {}
        for name in os.listdir(f"/proc/{pid}/fd"):
            if int(name) > 2:
                self.links[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")

    def kinds(self, known: dict[str, str]) -> Counter[str]:
        """Count them by what they are; `known` names objects by their links."""
        unix = _unix_sockets()
        return Counter(known.get(link) or _kind(link, unix) for link in self.links.values())

    def same_as(self, other: Held) -> set[str]:
        """Return the links of the objects that two processes share, open file by open file."""
        return {
            link
            for number, link in self.links.items()
            if any(link == theirs and _same(self, number, other, n) for n, theirs in other.links.items())
        }


def _same(one: Held, number: int, other: Held, its: int) -> bool:
    """Whether two descriptors are one open file description; kcmp(2)."""
    if _KCMP is None:
        pytest.skip("the number of kcmp(2) is not known here")
    libc = ctypes.CDLL(None, use_errno=True)
    found: int = libc.syscall(_KCMP, one.pid, other.pid, _KCMP_FILE, number, its)
    if found < 0:
        pytest.skip(f"kcmp(2) is not to be had: {os.strerror(ctypes.get_errno())}")
    return found == 0


def listeners(pid: int) -> dict[str, str]:
    """Return the listening TCP sockets that a process holds: link -> `listener:PORT`."""
    held = set(Held(pid).links.values())
    found = {}
    for table in "tcp", "tcp6":
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            link = f"socket:[{columns[9]}]"
            if columns[3] == "0A" and link in held:
                found[link] = f"listener:{int(columns[1].rpartition(':')[2], 16)}"
    return found


def _unix_sockets() -> dict[str, str]:
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {line[6]: line[4] for line in lines}


def _kind(link: str, unix: dict[str, str]) -> str:
    if link.startswith("socket:["):
        kind = unix.get(link[8:-1])
        return {_SEQPACKET: "channel", _STREAM: "pair"}.get(kind or "", "socket")
    for start, kind in (
        ("pipe:", "pipe"),
        ("anon_inode:[eventpoll]", "epoll"),
        ("anon_inode:[eventfd]", "eventfd"),
        ("/memfd:prefork-scoreboard", "scoreboard"),
        ("/memfd:prefork-stacks", "stacks"),
        ("/memfd:prefork-metrics", "metrics"),
    ):
        if link.startswith(start):
            return kind
    return link
