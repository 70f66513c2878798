"""The time in which new workers serve beside the old ones, and are compared with them a few times.

The counts begin when the new workers have been ready for a moment: caches fill, and code is compiled. Then each look
compares all since. One that finds them worse ends the bake; the last one decides otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._records.members import field
from ..._records.record import mutable, record
from .counts import Sample
from .verdict import Verdict, compare, slow_part

if TYPE_CHECKING:
    from ..._options.records import Insufficient

LOOKS = 8
"""Comparisons in the time of a bake."""
SETTLING = 5.0
"""Seconds after the canaries are ready that are not counted; at most a quarter of the bake."""
LONGEST = 10
"""A bake that is held ends after this multiple of its time."""
STALLED = 1.0
"""Seconds without progress of a busy canary at which no bake ends well: the hang watch may need longer to find it."""
_PATIENCE = 5.0
"""Seconds after which the counts are asked for again."""


@record
class Rules:
    """How a reload is judged; `seconds` of the bake, slots of each kind that bake, and the fewest requests to judge."""

    seconds: float = 30.0
    share: int = 1
    least: int = 200
    insufficient: Insufficient = "hold"

    @property
    def settling(self) -> float:
        """Seconds after the canaries are ready that are not counted."""
        return min(SETTLING, self.seconds / 4)


@mutable
class Bake:
    """A bake: `begun` when its canaries were ready, and over when it has its verdict."""

    rules: Rules
    keys: dict[str, None]  # slots that bake
    kinds: tuple[str, ...] = ()
    begun: float | None = None
    deadline: float | None = None  # when to measure
    due: bool = False  # the counts were asked for and have not come
    first: tuple[Sample, ...] = ()  # when the counts began
    last: tuple[Sample, ...] = ()  # at the last look
    parts: dict[str, int] = field(default_factory=dict)  # by kind: looks that show something of its latency
    slow: dict[str, int] = field(default_factory=dict)  # and those that show that it is slow
    held: bool = False
    over: bool = False
    lacks: str = ""  # why, in words

    def begin(self, now: float) -> float:
        """Begin the bake; return when to measure first."""
        self.begun = now
        self.deadline = now + self.rules.settling
        return self.deadline

    def ask(self, now: float) -> float:
        """Note that the counts have been asked for; return when to ask again if they do not come."""
        self.due, self.deadline = True, now + _PATIENCE
        return self.deadline

    @property
    def end(self) -> float:
        """When the last look is due."""
        return (self.begun or 0.0) + self.rules.seconds

    @property
    def latest(self) -> float:
        """When a bake that is held, or would be, ends."""
        return (self.begun or 0.0) + self.rules.seconds * (LONGEST if self.rules.insufficient == "hold" else 1)

    def look(self, samples: tuple[Sample, ...], now: float) -> Verdict | None:
        """Compare; return the verdict, or None while the bake goes on, until `deadline`."""
        self.due = False
        if not self.first:
            self.first = self.last = samples
        windows = [since(sample, self.first) for sample in samples]
        for sample, window in zip(samples, windows, strict=True):
            slow = slow_part(since(sample, self.last), window)
            if slow is not None:
                self.parts[sample.kind] = self.parts.get(sample.kind, 0) + 1
                self.slow[sample.kind] = self.slow.get(sample.kind, 0) + slow
        self.last = samples
        self.deadline = now + (self.rules.seconds - self.rules.settling) / LOOKS
        return self._verdict([window for window in windows if self._counts(window)], now)

    def _counts(self, window: Sample) -> bool:
        """Return whether a kind can be compared: one whose workers have never counted a request has only its ends."""
        return any(first.kind == window.kind and first.old.requests for first in self.first) or window.old.requests > 0

    def _verdict(self, windows: list[Sample], now: float) -> Verdict | None:
        found = [compare(window, self.rules.least, self._steady(window.kind)) for window in windows]
        for verdict in found:
            if verdict.outcome == "worse":
                return verdict
        if now < self.end - 0.001:  # The looks divide the time, and their sum is rounded.
            return None
        late = now >= (self.begun or 0.0) + LONGEST * self.rules.seconds - 0.001
        stalled = max((sample.stalled for sample in self.last), default=0.0)
        if stalled >= STALLED:
            return Verdict("worse", f"no progress for {stalled:.3g} s") if late else None
        missing = [verdict.text for verdict in found if verdict.outcome == "insufficient"]
        if found and not missing:
            return Verdict("good", ", ".join(verdict.text for verdict in found))
        text = "too few requests to judge: " + (", ".join(missing) or "no worker counts any")
        if self.rules.insufficient == "hold" and not late:
            self.held = True
            self.lacks = text
            return None
        return Verdict("insufficient", text)

    def _steady(self, kind: str) -> bool:
        return 2 * self.slow.get(kind, 0) > self.parts.get(kind, 0) or not self.parts.get(kind)


def since(sample: Sample, earlier: tuple[Sample, ...]) -> Sample:
    """Return what was counted since the earlier sample of the same kind."""
    for one in earlier:
        if one.kind == sample.kind:
            return Sample(sample.kind, sample.new.since(one.new), sample.old.since(one.old), sample.stalled)
    return sample
