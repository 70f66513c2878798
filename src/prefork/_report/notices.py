"""What to send to a service manager, and when: the states of sd_notify(3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._core.view.health import Health

_RELOADS = ("reload", "replan")
"""Changes that apply a new configuration; a restart does not."""


class Notices:
    """Remembers what was sent, so that each state is sent once."""

    def __init__(self) -> None:
        self.ready = False
        self._reload: tuple[str, int] | None = None
        self._stopping = False

    def due(self, health: Health, now: float) -> list[str]:
        """Return the assignments to send now, in one message. `now` is of CLOCK_MONOTONIC.

        READY follows every RELOADING, also after a failure: until then, `systemctl reload` of a unit with
        `Type=notify-reload` waits. A reload that supersedes another is sent again, since a manager identifies the
        reload that it has requested by its time.
        """
        if health.stopping:
            sent, self._stopping = self._stopping, True
            return [] if sent else ["STOPPING=1"]
        reload = (health.change, health.to) if health.change in _RELOADS else None
        if not self.ready:
            self.ready = health.generation > 0 and health.ready == health.wanted and reload is None
            return ["READY=1"] if self.ready else []
        if reload == self._reload:
            return []
        self._reload = reload
        return ["READY=1"] if reload is None else ["RELOADING=1", f"MONOTONIC_USEC={int(now * 1e6)}"]
