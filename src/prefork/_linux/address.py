"""Addresses of listeners, parsed: `tcp://127.0.0.1:8000`, `unix:///path`, `fd://3`."""

from __future__ import annotations

import os
from typing import Any, Literal

from .._records.record import record

Scheme = Literal["tcp", "udp", "unix", "abstract", "fd"]

FORMS = "tcp://host:port, udp://host:port, unix:///path, unix://@name or fd://number"
_LONGEST_PATH = 107
"""Bytes: sun_path of unix(7) has 108, and the last of them ends it."""


@record
class Address:
    """One address.

    `host` is `*` for every address of the machine, IPv6 and IPv4. `text` is the path of a Unix socket, its abstract
    name, or an inherited descriptor: its number, or its name in socket activation.
    """

    scheme: Scheme
    host: str = ""
    port: int = 0
    text: str = ""

    @property
    def has_port(self) -> bool:
        """Whether several sockets can share it, which is what sharding needs."""
        return self.scheme in ("tcp", "udp")

    @property
    def is_any_port(self) -> bool:
        """Whether the kernel chooses the port: then two such addresses are two places."""
        return self.has_port and self.port == 0


def parse(address: str) -> Address:
    """Return a full address, parsed. Raises ValueError that says what is wrong; the caller says where."""
    scheme, separator, rest = address.partition("://")
    match scheme if separator else "":
        case "tcp":
            return Address("tcp", *_host_and_port(rest))
        case "udp":
            return Address("udp", *_host_and_port(rest))
        case "unix" if rest.startswith("@"):
            return Address("abstract", text=_fitting(rest[1:], "the name"))
        case "unix" if rest.startswith("/") and not rest.endswith("/"):
            return Address("unix", text=_fitting(rest, "the path"))
        case "unix":
            raise ValueError(
                "a Unix socket needs an absolute path (unix:///run/x.sock) or an abstract name (unix://@x)"
            )
        case "fd" if rest:
            return Address("fd", text=rest)
    raise ValueError(f"give {FORMS}")


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()):
        raise ValueError("it has no port: give host:port, with port 0 for any free one")
    if int(port) > _LARGEST_PORT:
        raise ValueError(f"{port} is no port: the largest is {_LARGEST_PORT}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise ValueError("only an IPv6 address is put in brackets")
    elif ":" in host:
        raise ValueError("put an IPv6 address in brackets: tcp://[::1]:8000")
    elif not host:
        raise ValueError("it has no host: give one, or * for all addresses of this machine")
    if not all(letter.isalnum() or letter in ".:-_%*" for letter in host) or ("*" in host and host != "*"):
        raise ValueError(f"{host!r} is no host name or IP address")
    return host, int(port)


def _fitting(text: str, what: str) -> str:
    size = len(text.encode("utf-8", "surrogateescape"))
    if not text or "\0" in text:
        raise ValueError(f"{what} is empty or contains a NUL byte")
    if size > _LONGEST_PATH:
        raise ValueError(f"{what} has {size} bytes: the most is {_LONGEST_PATH} (unix(7))")
    return text


_LARGEST_PORT = 65535
_HELP = "give HOST:PORT, :PORT, unix:/PATH or fd://N"


def address(text: str) -> str:
    """Return the full address (`tcp://host:port`, `unix:///path`, `fd://3`) that `text` means.

    `HOST:PORT`, `[::1]:PORT`, `:PORT` (every address of this machine), `unix:PATH` (a relative one is made absolute)
    and `unix:@NAME` (abstract) are short forms; a full address is returned as it is, and so are the options of a path
    (`unix:PATH?mode=660&group=www-data`, see `split`). Raises ValueError otherwise.
    """
    try:
        full = _full(text)
        parse(split(full)[0])
    except ValueError as error:
        raise ValueError(f"{text!r} is no address: {error}") from None
    return full


def split(full: str) -> tuple[str, dict[str, Any]]:
    """Return the address without the options that follow the `?` of a Unix socket's path, and these options.

    They are `mode` (octal digits), `owner` and `group`. Raises ValueError for others.
    """
    address, mark, query = full.partition("?")
    if not mark or not address.startswith("unix:///"):
        return full, {}
    options: dict[str, Any] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name not in ("mode", "owner", "group") or not value or name in options:
            raise ValueError(f"{pair!r} is no option of a path: give mode, owner or group, as in unix:/s?mode=660")
        if name == "mode" and not (len(value) <= 4 and set(value) <= set("01234567") and int(value, 8) <= 0o777):
            raise ValueError(f"{value!r} is no mode: give octal digits such as 660")
        options[name] = int(value, 8) if name == "mode" else value
    return address, options


def _full(text: str) -> str:
    scheme, separator, _ = text.partition("://")
    if separator and scheme in ("tcp", "udp", "unix", "fd"):
        return text
    if separator:
        raise ValueError(f"{_HELP}; http://... is for clients")
    if text.startswith("/"):
        raise ValueError(f"did you mean unix:{text}?")
    if text.isdecimal() and int(text) > _LARGEST_PORT:
        raise ValueError(f"the largest port is {_LARGEST_PORT}")
    if text.isdecimal():
        raise ValueError(f"did you mean :{text}, or 127.0.0.1:{text}?")
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError("it has no path: give one, as in unix:/run/shop.sock")
        return f"unix://{path if path.startswith('@') else os.path.abspath(path)}"
    host, _, port = text.rpartition(":")
    if not port.isdecimal():
        raise ValueError(_HELP)
    return f"tcp://{host or '*'}:{port}"
