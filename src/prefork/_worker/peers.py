"""The rows that one worker looks at: those of the workers that accept from the same queue as it does."""

from __future__ import annotations

from .._wire.scoreboard import CHANGES, GROUP, LOOKS, OPEN, STATE, STATES, USED, WORDS, Scoreboard

Health = tuple[int, int, int]
"""Which row, how many connections it has open, how often it has looked at a queue."""

_READY = STATES.index("ready")


class Peers:
    """All others that compete with the worker of `row`, found anew when the master has changed something."""

    def __init__(self, board: Scoreboard, row: int) -> None:
        self._board = board
        self._row = row
        self._changes = -1
        self._places: list[tuple[int, int]] = []

    def look(self) -> list[Health]:
        """Where they stand. Who is not ready yet, or drains, is none of them."""
        words = self._board.words
        if words[CHANGES] != self._changes:
            self._find()
        return [(row, words[place + OPEN], words[place + LOOKS]) for row, place in self._places]

    def _find(self) -> None:
        board, words = self._board, self._board.words
        # Read first: what changes while we look is found by the next look.
        self._changes = words[CHANGES]
        first, end = board.master_words(0), board.master_words(min(words[USED], board.rows))
        states = words[first + STATE : end : WORDS].tolist()
        groups = words[first + GROUP : end : WORDS].tolist()
        own = board.group(self._row)
        self._places = [
            (row, board.worker_words(row))
            for row, (state, group) in enumerate(zip(states, groups, strict=True))
            if state == _READY and group == own and row != self._row
        ]
