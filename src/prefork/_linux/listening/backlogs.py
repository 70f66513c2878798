"""How many connections wait to be accepted, by address: sock_diag(7), which needs no right and no descriptor."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from ..._records.record import record

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_INET_REQUEST = struct.Struct("=BBxxI48x")  # inet_diag_req_v2: family, protocol, states
_INET = struct.Struct("=B3x2s2x16s16x12x4xII8x")  # inet_diag_msg: family, port, address, queue, its limit
_UNIX_REQUEST = struct.Struct("=B3xIIIII")  # unix_diag_req: family, states, inode, show, cookie
_UNIX_BYTES = 16  # of unix_diag_msg; attributes follow
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_QUEUE = struct.Struct("=II")
_ERRNO = struct.Struct("=i")

_DIAG, _ERROR, _DONE = 20, 2, 3  # types of messages
_REQUEST_ALL = 0x301
_LISTENING = 1 << 10
_SHOW_NAME, _SHOW_QUEUE = 1, 16
_NAME, _LENGTHS = 0, 4  # attributes of a Unix socket
_SECONDS = 1.0


@record
class Backlog:
    """The queues at one address: connections that `wait` in all of them, the `longest`, and the `limit` of each."""

    waiting: int
    longest: int
    limit: int


def backlogs() -> dict[str, Backlog]:
    """Return the queues by address (`tcp://127.0.0.1:80`, `unix:///run/a.sock`), of the families that can be read."""
    found: dict[str, Backlog] = {}
    for request in _requests():
        try:
            for address, waiting, limit in _listening(request):
                before = found.get(address, Backlog(0, 0, limit))
                found[address] = Backlog(before.waiting + waiting, max(before.longest, waiting), limit)
        except OSError:
            pass  # The kernel has no module for this family, or the rules of a container refuse it.
    return found


def _listening(request: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield the address of each listening socket of a family, the length of its queue, and the limit of that."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 4) as netlink:  # NETLINK_SOCK_DIAG
        netlink.settimeout(_SECONDS)
        netlink.send(_HEADER.pack(_HEADER.size + len(request), _DIAG, _REQUEST_ALL, 0, 0) + request)
        for data in _messages(netlink):
            yield _unix(data) if data[0] == socket.AF_UNIX else _inet(data)


def _requests() -> Iterator[bytes]:
    for family in (socket.AF_INET, socket.AF_INET6):
        yield _INET_REQUEST.pack(family, socket.IPPROTO_TCP, _LISTENING)
    yield _UNIX_REQUEST.pack(socket.AF_UNIX, _LISTENING, 0, _SHOW_NAME | _SHOW_QUEUE, 0, 0)


def _messages(netlink: socket.socket) -> Iterator[bytes]:
    """Yield the answers to a request. Raises OSError for a refusal, and where none comes."""
    while True:
        data = netlink.recv(1 << 16)
        while len(data) >= _HEADER.size:
            length, kind, *_ = _HEADER.unpack_from(data)
            body, data = data[_HEADER.size : length], data[(max(length, _HEADER.size) + 3) & ~3 :]
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError(-_ERRNO.unpack_from(body)[0], "sock_diag refused")
            yield body


def _inet(data: bytes) -> tuple[str, int, int]:
    family, port, address, waiting, limit = _INET.unpack_from(data)
    host = socket.inet_ntop(family, address[: 4 if family == socket.AF_INET else 16])
    host = host if family == socket.AF_INET else f"[{host}]"
    return f"tcp://{host}:{int.from_bytes(port)}", waiting, limit


def _unix(data: bytes) -> tuple[str, int, int]:
    name, waiting, limit, rest = b"", 0, 0, data[_UNIX_BYTES:]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        value, rest = rest[_ATTRIBUTE.size : length], rest[(max(length, _ATTRIBUTE.size) + 3) & ~3 :]
        if kind == _NAME:
            name = value
        elif kind == _LENGTHS:
            waiting, limit = _QUEUE.unpack_from(value)
    path = f"@{os.fsdecode(name[1:])}" if name.startswith(b"\0") else os.fsdecode(name.rstrip(b"\0"))
    return f"unix://{path}", waiting, limit
