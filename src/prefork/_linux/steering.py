"""BPF programs that choose among sockets of one port (socket(7), bpf(4)).

A program on the group (SO_ATTACH_REUSEPORT_CBPF, Linux 4.5) needs no privilege, and a new one replaces the former at
once. It returns the place of a socket in the group, in the order in which they began to listen; where one is closed,
the last takes its place. A place that does not exist means that the kernel chooses as if there were no program.
"""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Sequence

# From <asm-generic/socket.h>; Python's socket module has no names for them.
_ATTACH_FILTER, _DETACH_FILTER, _ATTACH_TO_GROUP = 26, 27, 51
# From <linux/bpf_common.h> and <linux/filter.h>.
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _KEEP = 0x20, 0x28, 0x30, 0x07
_ADD, _SUBTRACT, _MULTIPLY, _MODULO, _AND, _SHIFT_RIGHT, _XOR_KEPT = 0x04, 0x14, 0x24, 0x94, 0x54, 0x74, 0xAC
_JUMP, _IF_EQUAL, _IF_AT_LEAST, _RETURN, _RETURN_SUM = 0x05, 0x15, 0x35, 0x06, 0x16
_RANDOM, _HEADER = -0x1000 + 56, -0x100000
"""Where a load finds a random number, and the packet from its IP header on."""
_MOST_RUNS = 1000
"""A program has at most 4,096 instructions."""

_Instruction = tuple[int, int, int, int]
_DROP, _ACCEPT = (_RETURN, 0, 0, 0), (_RETURN, 0, 0, 0xFFFFFFFF)

_AT_RANDOM = [(_LOAD_WORD, 0, 0, _RANDOM)]
_BY_FLOW = [
    (_LOAD_BYTE, 0, 0, _HEADER),  # The version, and in IPv4 the header's length, which is nearly always the least.
    (_SHIFT_RIGHT, 0, 0, 4),
    (_IF_EQUAL, 0, 4, 6),
    (_LOAD_WORD, 0, 0, _HEADER + 20),  # The last part of the client's address,
    (_KEEP, 0, 0, 0),
    (_LOAD_HALF, 0, 0, _HEADER + 40),  # and its port.
    (_JUMP, 0, 0, 3),
    (_LOAD_WORD, 0, 0, _HEADER + 12),
    (_KEEP, 0, 0, 0),
    (_LOAD_HALF, 0, 0, _HEADER + 20),
    (_MULTIPLY, 0, 0, 0x9E3779B1),
    (_XOR_KEPT, 0, 0, 0),
    (_MULTIPLY, 0, 0, 0x85EBCA77),
    (_SHIFT_RIGHT, 0, 0, 8),
]


def choose(sock: socket.socket, places: Sequence[int]) -> None:
    """Have one of these places of the group that `sock` is in get each connection, or each flow, that begins.

    Connections at random. Datagrams by their sender: one client's go to one socket while the places stay the same. (The
    kernel's own hash is that of the network card, and none on the loopback.) Raises OSError where the kernel cannot do
    that.
    """
    number = _AT_RANDOM if sock.type == socket.SOCK_STREAM else _BY_FLOW
    _attach(sock, _ATTACH_TO_GROUP, [*number, *choice(places)])


def turn_away(sock: socket.socket) -> None:
    """Let no further connection begin at a listening TCP socket; established and waiting ones are not affected.

    The SYN is dropped, so that the client tries again a second later and reaches the socket that listens there then, if
    any. Raises OSError: kernels since 2026 want CAP_NET_ADMIN for a filter of a TCP socket (commit 5d39580f68e6).
    """
    # The program sees the segment from the TCP header on; byte 13 has the flags.
    _attach(sock, _ATTACH_FILTER, ((_LOAD_BYTE, 0, 0, 13), (_AND, 0, 0, 0x12), (_IF_EQUAL, 0, 1, 2), _DROP, _ACCEPT))


def drop_from(sock: socket.socket, port: int) -> None:
    """Drop what comes to a socket from this source port, of TCP or UDP. Raises OSError."""
    _attach(sock, _ATTACH_FILTER, ((_LOAD_HALF, 0, 0, 0), (_IF_EQUAL, 0, 1, port), _DROP, _ACCEPT))


def admit(sock: socket.socket) -> None:
    """Let connections begin again at a socket that turns them away. Raises OSError."""
    sock.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)


def choice(places: Sequence[int]) -> list[_Instruction]:
    """Return a program that takes one of `places`, as the number in the register modulo their count says."""
    runs = _runs(sorted(places))[:_MOST_RUNS]
    count = sum(length for _, length in runs)
    program = [(_MODULO, 0, 0, count)]
    for start, length in runs:
        # Those of this run, or what is left for the next ones.
        program += [
            (_IF_AT_LEAST, 2, 0, length),
            (_ADD, 0, 0, start),
            (_RETURN_SUM, 0, 0, 0),
            (_SUBTRACT, 0, 0, length),
        ]
    return [*program, (_RETURN, 0, 0, 0xFFFFFFFF)]


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and sum(runs[-1]) == place:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((place, 1))
    return runs


def _attach(sock: socket.socket, option: int, program: Sequence[_Instruction]) -> None:
    code = array("B", b"".join(struct.pack("HBBI", *head, k & 0xFFFFFFFF) for *head, k in program))
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@HP", len(program), code.buffer_info()[0]))
