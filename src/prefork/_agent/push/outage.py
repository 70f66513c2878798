"""One line in the log for each outage of a receiver, and one for its end."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class Outage:
    """Logs with `log` that a receiver gets nothing, and what that costs. `subject` names it: `otlp: http://...`.

    It is back after `proof` successes in a row: the kernel reports a closed port of UDP with every other datagram.
    """

    def __init__(self, subject: str, cost: str, proof: int, log: Callable[[str], None]) -> None:
        self._subject, self._cost, self._proof, self._log = subject, cost, proof, log
        self._since = 0.0
        self._left = 0
        """How many successes are left to the end of the outage."""

    @property
    def lasts(self) -> bool:
        """Whether the receiver is away."""
        return self._left > 0

    def note(self, reason: str | None) -> None:
        """Note why the last attempt has failed, or that it has not."""
        if reason is not None:
            if not self._left:
                self._since = monotonic()
                self._log(f"{self._subject} gets nothing: {reason}; {self._cost}")
            self._left = self._proof
        elif self._left:
            self._left -= 1
            if not self._left:
                self._log(f"{self._subject} is back after {monotonic() - self._since:.0f} s")
