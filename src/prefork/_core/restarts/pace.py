"""The pace at which the workers of one pool are started again; a pool is all workers of one kind.

A worker has *died of its work* if it had connections or requests, or was ready for a while. Most likely a request
killed it, and the next worker can serve all others, so it is replaced at once. To bound what workers cost that die
again and again, a pool has `rate` starts a second for each four of its workers while one of them is ready, and
`rate_down` while none is: what no worker survives is soon started at the lower rate, what most survive for some moments
at the higher one.

A worker that was never ready, or ended at once and without work, *could not start*, and neither will the next one until
the cause is gone. While others of its pool are ready, its slot waits for longer after each failure (`slot.pause`). When
none is ready, the waits of single slots do not count: the pool starts one after another, so often that it is back soon
after the cause has gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._records.members import field
from ..._records.record import mutable
from ..slot import pause

if TYPE_CHECKING:
    from ..plan import Spec

_SHARE = 1 / 40
"""The share of an outage that a pool may last longer because it waits for the next start."""


def pause_down(spec: Spec, failures: int, outage: float) -> float:
    """Return the pause between two attempts while a pool is down, after `failures` and `outage` seconds of them."""
    usual = min(spec.pause_down, pause(spec, failures, 0.0))
    return min(max(usual, outage * _SHARE), spec.backoff_max)


@mutable
class Pace:
    """One pool: how many of its workers are ready, and which slots wait for its next start."""

    ready: int = 0
    down_since: float | None = None  # since when none is; None while one is, and before the first
    failures: int = 0  # failed starts in a row while none was ready
    since: float = 0.0  # when the first of them failed
    early: bool = False  # the last worker that failed had been ready: that the next is ready, too, means nothing
    last: float = 0.0  # the last start that was let go
    spent: float = 0.0  # starts of the last moments: they count less as time goes by
    counted: float = 0.0  # until when `spent` is counted
    waiting: dict[str, None] = field(default_factory=dict)  # slots that wait for the pool's next start
    failed: dict[str, None] = field(default_factory=dict)  # slots whose last start failed
    deadline: float | None = None  # the next start
    reported: bool = False  # that no worker is ready
    quiet_until: float = 0.0

    @property
    def down(self) -> bool:
        """Whether it was ready and has no ready worker now."""
        return self.down_since is not None

    def count(self, now: float, rate: float, spec: Spec) -> None:
        """Count the starts that time has given back: before each use of `spent`, and before `ready` changes."""
        back = (rate if self.ready else spec.rate_down) * (now - self.counted)
        self.spent, self.counted = max(0.0, self.spent - back), now

    def next_start(self, now: float, rate: float, spec: Spec) -> float:
        """Return when the next slot that waits may be started; call `count` first."""
        if self.failures:
            return self.last + pause_down(spec, self.failures, now - self.since)
        missing = max(0.0, self.spent + 1 - rate)
        # Failed starts are counted as well; a pool that is down waits for them no longer than for another failure.
        return now + (missing / rate if self.ready else min(missing / spec.rate_down, spec.pause_down))
