"""The daemon's state for a service manager: sd_notify(3), and the watchdog's beats. One datagram is one message."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from ..._report.notices import Notices
from ..._wire.printable import printable
from .sender import Sender, address_in

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
        address = address_in(variables)
        self._sender = None if address is None else Sender(master, address, _MOST)
        self._status = ""
        self._status_is_due = False
        if self._sender is not None and (period := _watchdog(variables)):
            self._beat(period)

    def close(self) -> None:
        """Close the socket; messages that wait are discarded."""
        if self._sender is not None:
            self._sender.close()

    def noted(self, event: Event, actions: Sequence[Action], now: float) -> None:
        """See `Observer`. Nothing is sent here: the actions must have been carried out before."""

    def done(self, now: float) -> None:
        """See `Observer`. Send what has changed."""
        if self._sender is None:
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
        if self._sender is not None and self._notices.ready:
            self._send(["RELOADING=1", f"MONOTONIC_USEC={int(monotonic() * 1e6)}"])
        return self._notices.ready

    def upgraded(self, was_ready: bool) -> None:
        """Send that it has been replaced, or is not: each RELOADING ends with a READY."""
        self._notices.ready = was_ready
        if self._sender is not None and was_ready:
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

    def _send(self, lines: Sequence[str]) -> None:
        # A manager takes a carriage return for the end of a line as well, and a line for an order.
        message = "\n".join(map(printable, lines)).encode("utf-8", "replace")
        if self._sender is not None:  # The newer status or beat replaces one that waits.
            self._sender.send(message, instead=len(lines) == 1)


def _watchdog(variables: Mapping[str, str]) -> float:
    """Return the seconds between two beats: half of what the watchdog allows; 0.0 for never."""
    period, pid = variables.get("WATCHDOG_USEC", ""), variables.get("WATCHDOG_PID", str(os.getpid()))
    if pid != str(os.getpid()) or not (period.isascii() and period.isdecimal()):
        return 0.0
    return min(int(period) / 2e6, _LONGEST)
