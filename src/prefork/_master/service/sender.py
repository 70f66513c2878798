"""The datagrams to a service manager. It may be slow, restart, or be gone: nothing here waits for it."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..loop import Master

_GONE = (errno.ENOTCONN, errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOENT, errno.EPIPE)
"""Errors that mean: at the address is another socket by now, or none."""


def address_in(variables: Mapping[str, str]) -> str | bytes | None:
    """Return the path or abstract name of the manager's socket; None if there is none."""
    text = variables.get("NOTIFY_SOCKET", "")
    if text.startswith("/"):
        return text
    return b"\0" + os.fsencode(text[1:]) if text.startswith("@") else None


class Sender:
    """Sends messages in their order. What cannot be sent now is kept until there is room; an error is logged once."""

    def __init__(self, master: Master, address: str | bytes, most: int | None = None) -> None:
        """`most`: messages kept for a manager that does not read; the oldest are discarded."""
        self._master = master
        self._address = address
        self._socket: socket.socket | None = None
        self._waiting: deque[tuple[bytes, tuple[int, ...]]] = deque(maxlen=most)
        self._listening = False
        self._error_logged = False
        self.lost = False
        """Whether a message was lost. The sender of messages sets it back."""

    def close(self) -> None:
        """Close the socket; messages that wait are discarded."""
        self._discard()
        self._drop()

    def send(self, message: bytes, descriptors: tuple[int, ...] = (), *, instead: bool = False) -> None:
        """Send a message, with descriptors, and close them. `instead`: of the last that waits, if it begins alike."""
        if instead and self._waiting and self._waiting[-1][0][:7] == message[:7]:
            self._waiting.pop()
        self._waiting.append((message, descriptors))
        if not self._listening:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting:
                self._write(*self._waiting[0])
                for each in self._waiting.popleft()[1]:
                    os.close(each)
        except BlockingIOError:
            self._listen(True)
            return
        except OSError as error:
            self._discard()
            self._drop()
            self._log_error(error)
            self.lost = True
        self._listen(False)

    def _write(self, message: bytes, descriptors: tuple[int, ...]) -> None:
        """Send a message; on a socket that was opened before, by a new one if need be."""
        if self._socket is not None:
            try:
                send_on(self._socket, message, descriptors)
                return
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                self._drop()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        # Connected, since only then poll(2) reports when there is room.
        self._socket.connect(self._address)
        send_on(self._socket, message, descriptors)

    def _listen(self, wanted: bool) -> None:
        if self._socket is not None and wanted != self._listening:
            self._listening = wanted
            if wanted:
                self._master.selector.register(self._socket, selectors.EVENT_WRITE, self._flush)
            else:
                self._master.selector.unregister(self._socket)

    def _discard(self) -> None:
        for _, descriptors in self._waiting:
            for each in descriptors:
                os.close(each)
        self._waiting.clear()

    def _drop(self) -> None:
        if self._socket is not None:
            self._listen(False)
            self._socket.close()
            self._socket = None

    def _log_error(self, error: OSError) -> None:
        if not self._error_logged:
            self._error_logged = True
            self._master.relay.log(f"service manager: sd_notify failed: {error.strerror}; retrying at the next change")


def send_on(sock: socket.socket, message: bytes, descriptors: tuple[int, ...]) -> None:
    """Send one message with descriptors. Raises OSError."""
    rights = struct.pack(f"{len(descriptors)}i", *descriptors)
    sock.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else [], socket.MSG_NOSIGNAL)
