"""The service manager's socket: sd_notify(3), and the watchdog's beats.

One datagram is one message. The manager may be slow, restart, or be gone, which must not affect the daemon: nothing
here waits, a message that cannot be sent now is kept until there is room (of statuses only the latest), and an error is
logged once.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from ..._report.notices import Notices
from ..._wire.printable import printable

if TYPE_CHECKING:
    from ..._core.actions import Action
    from ..._core.events import Event
    from ..._core.view.health import Health
    from ..loop import Master

_PAUSE = 0.1
"""Seconds in which changes of the status become one message: a start of 500 workers does not send 500."""

_MOST = 32
"""Messages kept for a manager that does not read."""

_LONGEST = 86400.0
"""The most seconds between two beats; the manager may allow for ever (USEC_INFINITY)."""

_GONE = (errno.ENOTCONN, errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOENT, errno.EPIPE)
"""Errors that mean: at the address is another socket by now, or none."""


class HasHealth(Protocol):
    """A decider that has the health of its daemon."""

    def health(self) -> Health:
        """Return the health."""


class Manager:
    """Sends the daemon's state to the service manager, if there is one."""

    def __init__(self, master: Master, variables: Mapping[str, str], about: HasHealth) -> None:
        """`variables`: what `_launch.inherited` has found. `about` has the health."""
        self._master = master
        self._about = about
        self._notices = Notices()
        self._address = _address(variables.get("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None
        self._waiting: deque[bytes] = deque(maxlen=_MOST)
        self._listening = False
        self._status = ""
        self._status_is_due = False
        self._error_logged = False
        if self._address is not None and (period := _watchdog(variables)):
            self._beat(period)

    def close(self) -> None:
        """Close the socket; messages that wait are discarded."""
        self._waiting.clear()
        self._drop()

    def noted(self, event: Event, actions: Sequence[Action], now: float) -> None:
        """See `Observer`. Nothing is sent here: the actions must have been carried out before."""

    def done(self, now: float) -> None:
        """See `Observer`. Send what has changed."""
        if self._address is None:
            return
        health = self._about.health()
        if lines := self._notices.due(health, now):
            self._status = health.text
            self._send([*lines, f"STATUS={health.text}"])
        elif health.text != self._status and not self._status_is_due:
            self._status_is_due = True
            self._master.later(_PAUSE, self._send_status)

    @property
    def ready(self) -> bool:
        """Whether READY has been sent."""
        return self._notices.ready

    def upgrading(self) -> bool:
        """Send that the program is about to be replaced; return whether the daemon has been ready."""
        if self._address is not None and self._notices.ready:
            self._send(["RELOADING=1", f"MONOTONIC_USEC={int(monotonic() * 1e6)}"])
        return self._notices.ready

    def upgraded(self, was_ready: bool) -> None:
        """Send that it has been replaced, or is not: each RELOADING ends with a READY."""
        self._notices.ready = was_ready
        if self._address is not None and was_ready:
            self._status = self._about.health().text
            self._send(["READY=1", f"STATUS={self._status}"])

    def _send_status(self) -> None:
        self._status_is_due = False
        text = self._about.health().text
        if text != self._status:
            self._status = text
            self._send([f"STATUS={text}"])

    def _beat(self, period: float) -> None:
        """Send the watchdog's beat. Only the loop sends it, so that a loop that hangs sends none."""
        self._send(["WATCHDOG=1"])
        self._master.later(period, lambda: self._beat(period))

    # The socket.

    def _send(self, lines: Sequence[str]) -> None:
        # A manager takes a carriage return for the end of a line as well, and a line for an order.
        message = "\n".join(map(printable, lines)).encode("utf-8", "replace")
        if len(lines) == 1 and self._waiting and self._waiting[-1][:7] == message[:7]:
            self._waiting.pop()  # A status or a beat: the newer one replaces it.
        self._waiting.append(message)
        if not self._listening:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting:
                self._write(self._waiting[0])
                self._waiting.popleft()
        except BlockingIOError:
            self._listen(True)
            return
        except OSError as error:
            self._waiting.clear()
            self._drop()
            self._log_error(error)
        self._listen(False)

    def _write(self, message: bytes) -> None:
        """Send a message; on a socket that was opened before, by a new one if need be."""
        if self._socket is not None:
            try:
                self._socket.send(message, socket.MSG_NOSIGNAL)
                return
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                self._drop()
        assert self._address is not None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        # Connected, since only then poll(2) reports when there is room.
        self._socket.connect(self._address)
        self._socket.send(message, socket.MSG_NOSIGNAL)

    def _listen(self, wanted: bool) -> None:
        if self._socket is not None and wanted != self._listening:
            self._listening = wanted
            if wanted:
                self._master.selector.register(self._socket, selectors.EVENT_WRITE, self._flush)
            else:
                self._master.selector.unregister(self._socket)

    def _drop(self) -> None:
        if self._socket is not None:
            self._listen(False)
            self._socket.close()
            self._socket = None

    def _log_error(self, error: OSError) -> None:
        if not self._error_logged:
            self._error_logged = True
            self._master.relay.log(f"service manager: sd_notify failed: {error.strerror}; retrying at the next change")


def _address(text: str) -> str | bytes | None:
    """Return the socket's path or abstract name; None if there is none."""
    if text.startswith("/"):
        return text
    return b"\0" + os.fsencode(text[1:]) if text.startswith("@") else None


def _watchdog(variables: Mapping[str, str]) -> float:
    """Return the seconds between two beats: half of what the watchdog allows; 0.0 for never."""
    period, pid = variables.get("WATCHDOG_USEC", ""), variables.get("WATCHDOG_PID", str(os.getpid()))
    if pid != str(os.getpid()) or not (period.isascii() and period.isdecimal()):
        return 0.0
    return min(int(period) / 2e6, _LONGEST)
