"""What follows when workers have ended: a pause before others are started, or the end of a start that has failed.

A pause costs availability and no pause costs a processor, so each way to end has its own:

- A worker that fails at once after it has begun its work may have met one bad request: the first few are replaced at
  once, and then within a second.
- A worker that returns at once, or fails before it has its context, will do the same again. It waits in proportion to
  the processor time that it has used, whatever the program's import costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..._records.record import record
from .children import HEALTHY, Child, How

PATIENCE = 5
"""Failures at once, in a row, after which `on_child_finished` is called with a growing delay."""
LONGEST_DELAY = 1.0
"""Seconds, at most, of that delay; also the first delay after a hook that raised."""
LONGEST_RETRY = 5.0
"""Seconds, at most, until `on_child_finished` is called again while it raises."""
LONGEST_REST = 30.0
"""Seconds, at most, until workers that return at once are started again."""
TRIES = 3
"""Workers that may fail before the first one has its context."""

_REST = 25
"""Seconds of rest for each second of processor time: 4 % of a processor."""
_USUAL = 0.1
"""Seconds of processor time of a process whose use is unknown."""


@record
class End:
    """How a child ended, and the seconds of processor time that it used; None: unknown."""

    how: How
    used: float | None = None


class Pauses:
    """The pauses of one master, which grow while things keep failing."""

    def __init__(self) -> None:
        self._crashes = 0
        self._raises = 0
        self._rest_until = 0.0

    def after(self, ends: Sequence[End], now: float) -> float:
        """Return when others may be started, after children that have ended together."""
        hows = {end.how for end in ends}
        if "well" in hows:
            self._crashes = 0
        used = sum(_USUAL if end.used is None else end.used for end in ends if end.how in ("early", "returned"))
        if used:  # Of workers that end one after another each adds its rest: they are started together.
            self._rest_until = min(now + LONGEST_REST, max(self._rest_until, now) + _REST * used)
        if hows & {"told", "well"} or hows == {"asked"}:
            return now
        delay = 0.0
        if "crashed" in hows:
            self._crashes += 1
            excess = self._crashes - PATIENCE
            delay = min(LONGEST_DELAY, 0.05 * 2 ** min(excess, 10)) if excess > 0 else 0.0
        return max(now + delay, self._rest_until if used else now)

    def after_raise(self) -> float:
        """Return how many seconds to wait after a hook that raised."""
        self._raises += 1
        return min(LONGEST_RETRY, LONGEST_DELAY * 2.0 ** min(self._raises - 1, 10))

    def succeeded(self) -> None:
        """`on_child_finished` has returned: the next raise is a first one."""
        self._raises = 0


class FirstStart:
    """Whether the first start still goes on, has succeeded, or has failed.

    It has succeeded with the first worker that has its context, or the first process of a hook's own that works for a
    while. It has failed when `TRIES` workers have ended before that and the last of the first ones has, too: one of
    these may still import.
    """

    def __init__(self) -> None:
        self.succeeded = False
        self.failures = 0
        self._first: set[int] | None = None

    def began(self, live: Mapping[int, Child]) -> None:
        """Note the first workers, once they have been started."""
        if self._first is None and live:
            self._first = set(live)

    def ended(self, pid: int, how: How) -> None:
        """Note an end."""
        self.succeeded |= how == "well"
        self.failures += how == "early"
        if self._first:
            self._first.discard(pid)

    def look(self, live: Mapping[int, Child], now: float) -> None:
        """Note the processes of a hook's own: nothing says when they work, so that their age has to."""
        self.succeeded |= any(child.key is None and now - child.since >= HEALTHY for child in live.values())

    def hopeless(self, live: Mapping[int, Child], waits: bool) -> bool:
        """Return whether it has failed. `waits`: others will be started."""
        if self.succeeded or not self.failures:
            return False
        return (not live and not waits) or (self.failures >= TRIES and not self._first)

    def hurries(self) -> bool:
        """Return whether to try again without a pause."""
        return not self.succeeded and self.failures < TRIES
