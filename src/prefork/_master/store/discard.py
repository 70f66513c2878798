"""Closes what the store has of a previous master and this one cannot use, here and at the service manager."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from ..._wire import stored
from ..service.sender import address_in, send_on

if TYPE_CHECKING:
    from collections.abc import Collection

    from .content import Stored

_PATIENCE = 2.0
"""Seconds for the manager to remove it: until then its sockets get connections that no process accepts."""


def discard(found: Stored, variables: Mapping[str, str], why: str, log: Callable[[str], object]) -> None:
    """Close it, name it if `why` is given, and wait until the manager has removed it. `variables`: the manager's."""
    if not found.names:
        return
    if why:
        names = ", ".join(sorted({stored.what_is(name) for name in found.names}))
        log(f"service manager: what its store has of a previous master ({names}) is of no use: {why}; closing it")
    found.close()
    address = address_in(variables)
    if address is not None:
        with suppress(OSError):  # The manager is gone, or reads nothing for so long.
            _removed(address, found.names)


def _removed(address: str | bytes, names: Collection[str]) -> None:
    """Wait until the manager has removed these. Raises OSError."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        with os.fdopen(writer, "wb"), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(_PATIENCE)
            sock.connect(address)
            for name in names:
                sock.send(stored.removing(name))
            send_on(sock, stored.barrier(), (writer,))
        waiting = select.poll()
        waiting.register(reader, 0)  # A hang-up is reported in any case.
        waiting.poll(_PATIENCE * 1000)
    finally:
        os.close(reader)
