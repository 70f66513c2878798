"""Why an address is refused, and what to do: which process listens there already, or that the machine has it not."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from time import process_time

from ..._linux.address import Address
from ..._linux.proc_stat import fields
from ..._wire.printable import printable
from ..identity.holder import processes_with, runtime_of
from .bind import ANY

_MOST = 0.1
"""Seconds of processor time to look for the process, since the loop of the master waits meanwhile."""

_LONGEST = 60
"""Characters that are shown of a command line."""

_LISTENS, _ACCEPTS = "0A", "00010000"
"""TCP_LISTEN in /proc/net/tcp; __SO_ACCEPTCON in /proc/net/unix."""

_CHOICE = "with -b (of the agent: --metrics) or in the program"
_PARENT = 1
"""Position in `fields` of /proc/PID/stat."""


def why_refused(error: OSError, address: Address) -> str:
    """Return the reason of an error of bind(2) or listen(2), with what to do about it if that is known."""
    reason = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        return f"{reason}: {_in_use(address)}"
    if error.errno == errno.EADDRNOTAVAIL and reason == os.strerror(error.errno):  # A name has a reason of its own.
        port = address.port
        return (
            f"{reason}: no interface of this machine has it (`ip address` shows those it has): give 127.0.0.1:{port} "
            f"for clients of this machine alone, or *:{port} for all its addresses, {_CHOICE}"
        )
    return reason


def _in_use(address: Address) -> str:
    other = "another port" if address.has_port else "another address"
    choose = f"or choose {other}, {_CHOICE}"
    found = dict(_listening(address))  # inode -> uid
    pid = _first(processes_with(found, process_time() + _MOST))
    if not pid:
        users = "".join(f" of uid {uid}" for uid in sorted(set(found.values()))[:1])
        return f"by a process{users} that is not visible here (`ss -anp`, as root, shows it); end it, {choose}"
    title = printable(_command(pid))
    if title.startswith("prefork: master ") and (place := runtime_of(pid)):
        name = title.split()[2]
        return f"by the daemon {name}, pid {pid}; end it by `prefork stop -n {printable(place)}`, {choose}"
    return f"by pid {pid} ({title}); end that process, {choose}"


def _listening(address: Address) -> Iterator[tuple[str, str]]:
    """Yield the inode and the uid of each socket that keeps others from an address."""
    if not address.has_port:
        name = f"@{address.text}" if address.scheme == "abstract" else address.text
        for line in _table("unix"):
            if line[3] == _ACCEPTS and line[7:] and line[7].rstrip("\n") == name:
                yield line[6], ""
        return
    hosts = _written(address.host)
    for family in ("", "6"):
        for line in _table(f"{address.scheme}{family}"):
            host, _, port = line[1].partition(":")
            here = not (hosts and host.strip("0")) or host in hosts
            if here and int(port, 16) == address.port and (address.scheme == "udp" or line[3] == _LISTENS):
                yield line[9], line[7]


def _written(host: str) -> set[str]:
    """Return a host as the kernel's tables write it; nothing for all hosts, or a name."""
    for family in () if host in (*ANY, "0.0.0.0") else (socket.AF_INET, socket.AF_INET6):
        try:
            packed = socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return {"".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", packed))}
    return set()


def _table(name: str) -> Iterator[list[str]]:
    """Yield the lines of a table of the kernel's sockets; none where it cannot be read."""
    try:
        with open(f"/proc/self/net/{name}", encoding="utf-8", errors="surrogateescape") as file:
            next(file)
            for line in file:
                yield line.split(None, 7 if name == "unix" else -1)
    except (OSError, StopIteration):
        return


def _first(pids: list[int]) -> int:
    """Return the process that has started the others, such as a master; 0 of none."""
    return next((pid for pid in pids if _parent(pid) not in pids), 0)


def _parent(pid: int) -> int:
    found = fields(pid)
    return int(found[_PARENT]) if found else 0


def _command(pid: int) -> str:
    """Return the start of a process's command line, or its title."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "ended"
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."
