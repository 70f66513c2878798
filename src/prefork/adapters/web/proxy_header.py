"""The header of the PROXY protocol, versions 1 and 2, by which a TCP balancer names the client.

Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

_TEXT, _BINARY = b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"
_LONGEST_LINE = 107
_FIXED = 16
_MOST = 4096
"""Bytes of a binary header: its own fields with addresses have 232 at most, and some more for its extensions."""
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_LAST_PORT = 65535

End = tuple[str, int]


class Header(NamedTuple):
    """A header of `length` bytes. `ends`: the client, and the address that it has connected to; None: unknown."""

    length: int
    ends: tuple[End, End] | None


def parse(data: bytes) -> Header | None:
    """Return the header at the begin of what a balancer sends, or None until it is complete.

    Raises ValueError if it is none.
    """
    if data[: len(_TEXT)] == _TEXT[: len(data)]:
        return _line(data)
    if data[: len(_BINARY)] == _BINARY[: len(data)]:
        return _binary(data)
    raise ValueError("it sends no PROXY header")


def _line(data: bytes) -> Header | None:
    line, end, _ = data[:_LONGEST_LINE].partition(b"\r\n")
    if not end:
        if len(data) >= _LONGEST_LINE:
            raise ValueError("its PROXY header has no end")
        return None
    length = len(line) + len(end)
    words = line.decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return Header(length, None)
    kinds = {"TCP4": IPv4Address, "TCP6": IPv6Address}
    ports = words[4:]
    if len(words) != len(["PROXY", "TCP4", "client", "server", "port", "port"]) or words[1] not in kinds:
        raise ValueError("its PROXY header is malformed")
    if not all(port.isascii() and port.isdecimal() and int(port) <= _LAST_PORT for port in ports):
        raise ValueError("its PROXY header has a port that is none")
    client, server = (str(kinds[words[1]](address)) for address in words[2:4])
    return Header(length, ((client, int(ports[0])), (server, int(ports[1]))))


def _binary(data: bytes) -> Header | None:
    if len(data) < _FIXED:
        return None
    command, family = data[12], data[13]
    length = _FIXED + int.from_bytes(data[14:16])
    if command not in (_LOCAL, _PROXY) or length > _MOST:
        raise ValueError("its PROXY header is malformed")
    if len(data) < length:
        return None
    if command == _LOCAL or family not in (_TCP4, _TCP6):
        return Header(length, None)
    size = 4 if family == _TCP4 else 16
    if length < _FIXED + 2 * size + 4:
        raise ValueError("its PROXY header is too short for its addresses")
    addresses = [str(ip_address(data[at : at + size])) for at in (_FIXED, _FIXED + size)]
    ports = [int.from_bytes(data[at : at + 2]) for at in (_FIXED + 2 * size, _FIXED + 2 * size + 2)]
    return Header(length, ((addresses[0], ports[0]), (addresses[1], ports[1])))
