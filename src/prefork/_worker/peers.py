"""The scoreboard's rows that one worker reads: those of the workers that accept from the same queue."""

from __future__ import annotations

from .._wire.scoreboard import CHANGES, GROUP, OPEN, POLLS, STATE, STATES, USED, WORDS, Scoreboard
from .accept_throttle import PeerLoad

_READY = STATES.index("ready")


class Peers:
    """The workers that compete with the worker of `row`, found again when the master has changed a row."""

    def __init__(self, board: Scoreboard, row: int) -> None:
        self._board = board
        self._row = row
        self._changes = -1
        self._places: list[tuple[int, int]] = []

    def read(self) -> list[PeerLoad]:
        """Return the load of each ready peer; a worker that starts or drains is none."""
        words = self._board.words
        if words[CHANGES] != self._changes:
            self._find()
        return [(row, words[place + OPEN], words[place + POLLS]) for row, place in self._places]

    def _find(self) -> None:
        board, words = self._board, self._board.words
        # Read first: the next call finds what changes meanwhile.
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
