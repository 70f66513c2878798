"""Addresses as people write them after `--bind`, made the full ones that a plan has."""

from __future__ import annotations

import os

from ._linux.address import parse

_HELP = "give HOST:PORT, :PORT, unix:/PATH or fd://N"


def address(text: str) -> str:
    """Return the full address (`tcp://host:port`, `unix:///path`, `fd://3`) that `text` means.

    `HOST:PORT`, `[::1]:PORT`, `:PORT` (every address of this machine), `unix:PATH` (a relative one is made absolute)
    and `unix:@NAME` (abstract) are short for one; full addresses are themselves. Raises ValueError where it is none.
    """
    try:
        full = _full(text)
        parse(full)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address: {error}") from None
    return full


def _full(text: str) -> str:
    scheme, separator, _ = text.partition("://")
    if separator and scheme in ("tcp", "udp", "unix", "fd"):
        return text
    if separator:
        raise ValueError(f"{_HELP}; http://... is what clients ask for")
    if text.startswith("/"):
        raise ValueError(f"did you mean unix:{text}?")
    if text.isdecimal():
        raise ValueError(f"did you mean :{text}, or 127.0.0.1:{text}?")
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError("it names no path, as unix:/run/shop.sock does")
        return f"unix://{path if path.startswith('@') else os.path.abspath(path)}"
    host, _, port = text.rpartition(":")
    if not port.isdecimal():
        raise ValueError(_HELP)
    return f"tcp://{host or '*'}:{port}"
