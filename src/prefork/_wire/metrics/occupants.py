"""Whose columns those of the arena are: what the scoreboard says of its rows."""

from __future__ import annotations

from collections.abc import Mapping

from ..._records.record import record
from ..scoreboard import GENERATION, NAME_BYTES, NAME_OFFSET, STARTED, STATE, STATES, USED, Scoreboard, text

_DEAD = (STATES.index("unused"), STATES.index("ended"))


@record
class Occupant:
    """The latest process of a row. `started`: in seconds since 1970."""

    slot: str
    generation: int
    alive: bool
    started: float


Occupants = Mapping[int, Occupant]
"""The occupants by row."""


def occupants(board: Scoreboard) -> Occupants:
    """Return the present occupants of all rows that are used."""
    found = {}
    for row in range(min(board.words[USED], board.rows)):
        at = board.master_words(row)
        slot = text(board.bytes[at * 8 + NAME_OFFSET :][:NAME_BYTES])
        alive = board.words[at + STATE] not in _DEAD
        found[row] = Occupant(slot, board.words[at + GENERATION], alive, board.floats[at + STARTED])
    return found
