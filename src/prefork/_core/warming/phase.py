"""The phase in which a mold warms the application up: it delays its plan for a bounded time, and fails no change.

The mold itself stops a warming that is late. Where it cannot, since a call in C does not return, or where the process
has ended, another mold is started at once, which does not warm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..events import MoldWarming, WarmingFailed
from ..molds import end_mold, enter

if TYPE_CHECKING:
    from ..state import Mold, State

_GRACE = 3.0
"""Seconds, besides the warming's own, that the mold has to stop it, and to close what it has opened."""


def handle(state: State, mold: Mold, event: MoldWarming | WarmingFailed) -> None:
    """Begin the phase or end it, or start another mold. When it has ended the time of the import begins again.

    A process has one such phase, in which it says itself how long that lasts: what else it says changes no deadline.
    """
    if mold.phase not in ("importing", "warming"):
        return
    if isinstance(event, WarmingFailed):
        cause, _, words = event.report.partition("\n")
        give_up(state, mold, cause, words)
    elif event.seconds > 0:
        if not mold.warmed:
            mold.warmed = True
            enter(state, mold, "warming", event.seconds + _GRACE)
    elif mold.phase == "warming":
        enter(state, mold, "importing", state.options.import_timeout)


def give_up(state: State, mold: Mold, text: str, words: str = "") -> None:
    """End a mold whose warming has failed. `words`: the application's report."""
    warming_ended(state, mold, text, words)
    end_mold(state, mold)


def warming_ended(state: State, mold: Mold, text: str, words: str = "") -> None:
    """Note that the generation is not to be warmed: its next mold is started without."""
    mold.warm = False
    if not mold.retired and state.stopping is None:
        state.report(f"mold of generation {mold.generation}: {text}; starting it again without warming", words)
