"""What to send to a service manager, and when: the states of sd_notify(3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._core.health import Health

_RELOADS = ("reload", "replan")
"""Changes that take up a new configuration. A restarted slot is none."""


class Notices:
    """Remembers what has been said, so that each thing is said once."""

    def __init__(self) -> None:
        self._ready = False
        self._reload: tuple[str, int] | None = None
        self._stopping = False

    def due(self, health: Health, now: float) -> list[str]:
        """Return what there is to be said now: assignments, for one message. `now` is of CLOCK_MONOTONIC.

        READY follows on every RELOADING, whatever came of it: until it does, a manager with `Type=notify-reload` lets
        `systemctl reload` wait. One reload that takes the place of another is said anew, since a manager knows the
        reload that it has asked for by its time.
        """
        if health.stopping:
            said, self._stopping = self._stopping, True
            return [] if said else ["STOPPING=1"]
        reload = (health.change, health.to) if health.change in _RELOADS else None
        if not self._ready:
            self._ready = health.generation > 0 and health.ready == health.wanted and reload is None
            return ["READY=1"] if self._ready else []
        if reload == self._reload:
            return []
        self._reload = reload
        return ["READY=1"] if reload is None else ["RELOADING=1", f"MONOTONIC_USEC={int(now * 1e6)}"]
