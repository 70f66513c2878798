"""How the values that several workers have set one gauge to become one, by the mode of the gauge.

The modes are those of prometheus_client's multiprocess mode. There a process is a pid, here it is the slot: labels of
`all` stay the same when a worker is replaced. `live...` takes living workers only; the others take also what a dead
worker has set, until the next process takes its row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..._records.record import record
from .occupants import Occupant

Combined = Iterator[tuple[dict[str, str], float]]
"""The values of one gauge, each with the labels that tell it from the others."""
KEPT = ("min", "max", "sum", "mostrecent")
"""The modes in which a worker takes over what the dead worker before it in its row has set."""
LABEL = "worker"


@record
class Setting:
    """What one process has set a gauge to. `time` in seconds since 1970, 1.0 for never."""

    occupant: Occupant
    value: float
    time: float


def combined(mode: str, labelnames: Sequence[str], settings: Sequence[Setting]) -> Combined:
    """Combine what processes have set one gauge to."""
    if mode.startswith("live"):
        settings = [each for each in settings if each.occupant.alive]
    values = [each.value for each in settings]
    if not values:
        return
    match mode.removeprefix("live"):
        case "min":
            yield {}, min(values)
        case "max":
            yield {}, max(values)
        case "sum":
            yield {}, sum(values)
        case "mostrecent":
            yield {}, max(settings, key=lambda each: each.time).value
        case _:
            label = LABEL if LABEL not in labelnames else f"prefork_{LABEL}"
            # Of two workers of one slot, such as in a reload, the younger.
            age = sorted(settings, key=lambda each: (each.occupant.alive, each.occupant.started))
            for slot, value in {each.occupant.slot: each.value for each in age}.items():
                yield {label: slot}, value
