"""A family of metrics: its name, type, unit, labels and meaning; and one sample of it.

Names and units are those of https://prometheus.io/docs/practices/naming/. Labels are bounded: slots, pools, the last
generations, and short lists; never a pid.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import inf
from typing import Literal

from ..._wire.printable import printable
from ...scoreboard import Histogram

Kind = Literal["counter", "gauge", "histogram", "info"]

_SUFFIXES: dict[Kind, str] = {"counter": "_total", "gauge": "", "histogram": "", "info": "_info"}


@dataclass(frozen=True, slots=True)
class Family:
    """One family. `name` has the unit and no `_total` or `_info`; `look`: what to look at it for.

    `step`: of a histogram, every how many bounds of the scoreboard's become buckets.
    """

    name: str
    kind: Kind
    help: str
    look: str
    labels: tuple[str, ...] = ()
    step: int = 1

    @property
    def unit(self) -> str:
        """The unit that the name ends with; empty for a number of things."""
        last = self.name.rpartition("_")[2]
        return last if last in ("seconds", "bytes") else ""

    @property
    def shown(self) -> str:
        """The name of its samples in the text format; of a histogram without `_bucket`, `_sum` and `_count`."""
        return self.name + _SUFFIXES[self.kind]

    def buckets(self, histogram: Histogram) -> list[tuple[float, int]]:
        """Return the upper bounds of its buckets, and how many values lie below each; infinity is last.

        The bounds have six digits, so that they can be read.
        """
        below = list(accumulate(histogram.counts))
        bounds = [(float(f"{bound:.6g}"), count) for bound, count in zip(histogram.bounds, below, strict=False)]
        return [*bounds[:: self.step], (inf, below[-1])]

    def at(self, value: float | Histogram, *labels: object) -> Sample:
        """Return a sample with these values of the labels; one that cannot be encoded would fail the whole scrape."""
        return Sample(self, value, tuple(printable(str(label)) for label in labels))


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a family; a histogram's is a `Histogram`."""

    family: Family
    value: float | Histogram
    labels: tuple[str, ...] = ()
