"""One connection to a daemon's control socket (docs/control.md)."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable
from io import FileIO
from types import TracebackType
from typing import Any, cast

from .._errors import CommandFailedError, NotRunningError, SystemFailure
from .._linux.credentials import peer_of
from .._wire.places import PROTOCOL, SOCKET
from .answers.event import Event

Each = Callable[[Event], object]
"""Called with each event while a command is executed."""

PATIENCE = 5
"""Seconds to wait for an answer that needs no work from the daemon."""

_TIMEVAL = struct.Struct("ll")  # struct timeval: seconds, microseconds


class Connection:
    """One connection to the control socket. `timeout`: seconds for each send and each receive, None for no limit.

    `connect` returns a connected socket for a directory.
    """

    def __init__(
        self, directory: str, timeout: float | None, connect: Callable[[str], socket.socket] | None = None
    ) -> None:
        self._directory = directory
        self._timeout = timeout
        self._connect = connect or connected

    def __enter__(self) -> Connection:
        self.socket = self._connect(self._directory)
        self.socket.settimeout(self._timeout)
        self._lines = self.socket.makefile("rb")
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        self._lines.close()
        self.socket.close()

    def send(self, request: str, **more: object) -> None:
        """Send one request."""
        message = {"protocol": PROTOCOL, "request": request, **more}
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except TimeoutError:
            raise self._late() from None
        except OSError:
            pass  # The daemon has hung up; its last message says why.

    def finish_sending(self) -> None:
        """Close the sending side: the daemon hangs up after its last message."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # ENOTCONN: the daemon has already hung up.

    def receive(self) -> dict[str, Any] | None:
        """Return the next message; None if the daemon has hung up. Raises SystemFailure after the timeout."""
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise self._late() from None
        except ConnectionResetError:
            line = b""
        if line.endswith(b"\n"):
            message: dict[str, Any] = json.loads(line)
            return message
        return None

    def outcome(self, message: dict[str, Any] | None) -> dict[str, Any]:
        """Return a positive reply. Raises CommandFailedError; SystemFailure if the daemon rejected the request."""
        if message is None:
            raise SystemFailure(self._why_hung_up())
        if message.get("ok") is True:
            return message
        text = str(message.get("text", "no reason given"))
        if message.get("error") == "failed":
            raise CommandFailedError(text)
        raise SystemFailure(f"the daemon in {self._directory} rejected the request (another version?): {text}")

    def receive_descriptor(self) -> FileIO:
        """Return the file whose descriptor comes with the reply."""
        try:
            line, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        except TimeoutError:
            raise self._late() from None
        except ConnectionResetError:
            line, descriptors = b"", []
        if not descriptors:
            self.outcome(json.loads(line) if line.endswith(b"\n") else None)
            raise SystemFailure(f"the daemon in {self._directory} did not send its scoreboard")
        return FileIO(descriptors[0])

    def command(self, request: str, each: Each | None, **more: object) -> dict[str, Any]:
        """Send a command, pass each event to `each`, return the reply."""
        self.send(request, events=each is not None, **more)
        while (message := self.receive()) is not None and "ok" not in message:
            if each is not None:
                each(cast(Event, message))
        return self.outcome(message)

    def master(self) -> int | None:
        """Return a pidfd of the daemon's master; None if it cannot be opened."""
        try:
            return os.pidfd_open(peer_of(self.socket)[0])
        except (AttributeError, OSError):
            return None  # Not supported, in another pid namespace, or ended: then the connection's end has to do.

    def _late(self) -> SystemFailure:
        return _late(self._directory, self._timeout)

    def _why_hung_up(self) -> str:
        user = owner(self._directory)
        if user is not None and os.geteuid() not in (0, user):
            return f"no permission to control the daemon in {self._directory}: only user {user} and root may"
        return f"the daemon in {self._directory} closed the connection: it has ended, or has too many clients"


def _late(directory: str, seconds: float | None) -> SystemFailure:
    return SystemFailure(f"the daemon in {directory} did not answer within {seconds:g} s")


def connected(directory: str) -> socket.socket:
    """Return a connected socket. Raises NotRunningError; SystemFailure without permission or answer."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # For a stopped master with a full backlog: connect(2) of a non-blocking socket would fail at once.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(PATIENCE, 0))
    place = -1
    try:
        place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        connection.connect(f"/proc/self/fd/{place}/{SOCKET}")  # The path may be too long for an address.
    except OSError as error:
        connection.close()
        if isinstance(error, BlockingIOError):
            raise _late(directory, PATIENCE) from None
        if isinstance(error, PermissionError):
            raise SystemFailure(f"no permission to connect to the daemon in {directory}") from None
        raise NotRunningError(f"no daemon is running in {directory}") from None
    finally:
        if place >= 0:
            os.close(place)
    return connection


def owner(directory: str) -> int | None:
    """Return the user whose directory this is; None if there is none."""
    try:
        return os.stat(directory, follow_symlinks=False).st_uid
    except OSError:
        return None
