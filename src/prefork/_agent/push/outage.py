"""One line in the log for each outage of a receiver, and one for its end."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class Outage:
    """Logs with `log` that a receiver gets nothing, and what that costs. `subject` names it: `otlp: http://...`."""

    def __init__(self, subject: str, cost: str, log: Callable[[str], None]) -> None:
        self._subject, self._cost, self._log = subject, cost, log
        self._since: float | None = None

    @property
    def lasts(self) -> bool:
        """Whether the last attempt has failed."""
        return self._since is not None

    def note(self, reason: str | None) -> None:
        """Note why the last attempt has failed, or that it has not."""
        if reason is None and self._since is not None:
            self._log(f"{self._subject} is back after {monotonic() - self._since:.0f} s")
            self._since = None
        elif reason is not None and self._since is None:
            self._log(f"{self._subject} gets nothing: {reason}; {self._cost}")
            self._since = monotonic()
