"""Addresses as people write them after `--bind`, and as a plan has them."""

from __future__ import annotations

import os
import re

_FULL = ("tcp", "unix", "fd", "udp")
_HELP = "give HOST:PORT, :PORT, unix:/PATH or fd://N"


def address(text: str) -> str:
    """Return the full address (`tcp://host:port`, `unix:///path`, `fd://3`) that `text` means.

    `HOST:PORT`, `[::1]:PORT`, `:PORT` (every address of this machine), `unix:PATH` (a relative one is made absolute)
    and `unix:@NAME` (abstract) are short for one; full addresses are themselves. Raises ValueError where it is none.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme in _FULL:
        if scheme in ("tcp", "udp"):
            return f"{scheme}://{_host_and_port(rest, text)}"
        if not rest:
            raise ValueError(f"{text!r} is no address: {_HELP}")
        return text
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError(f"{text!r} names no path: unix:/run/shop.sock")
        return f"unix://{path if path.startswith('@') else os.path.abspath(path)}"
    if separator:
        raise ValueError(f"{text!r} is no address: an HTTP address is what clients use; {_HELP}")
    if text.startswith("/"):
        raise ValueError(f"{text!r} is no address: did you mean unix:{text}?")
    return f"tcp://{_host_and_port(text, text)}"


def _host_and_port(text: str, given: str) -> str:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:/\s]*):([0-9]{1,5})", text)
    if match is None:
        if text.count(":") > 1 and "[" not in text:
            raise ValueError(f"{given!r} is no address: write an IPv6 address in brackets, as in [::1]:8000")
        if re.fullmatch(r"[0-9]{1,5}", text):
            raise ValueError(f"{given!r} is no address: did you mean :{text}, or 127.0.0.1:{text}?")
        raise ValueError(f"{given!r} is no address: {_HELP}")
    if int(match[2]) > 65535:
        raise ValueError(f"{given!r} is no address: there is no port {match[2]}")
    return f"{match[1] or '*'}:{int(match[2])}"
