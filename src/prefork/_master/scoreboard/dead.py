"""What dead workers have measured: of all generations, and of the latest ones each."""

from __future__ import annotations

from ..._wire import measures as at
from ..._wire.scoreboard import Scoreboard

_MASK = 2**64 - 1
_MOST = 1e12
"""Seconds: what a worker cannot have measured, not in ten thousand years with a thousand threads, is garbage."""


class Dead:
    """The blocks of dead workers. What they hold is kept here too: any worker can write to the memory."""

    def __init__(self, board: Scoreboard) -> None:
        self._board = board
        self._all = _Total(0)
        self._generations: dict[int, _Total] = {}

    def add(self, block: at.Block, generation: int) -> None:
        """Add what a worker of this generation has left behind."""
        self._all.add(block, self._board)
        if (total := self._of(generation)) is not None:
            total.add(block, self._board)

    def _of(self, generation: int) -> _Total | None:
        """Return the total of a generation, which takes the place of the oldest one; None for one that is older."""
        if (found := self._generations.get(generation)) is not None:
            return found
        number = len(self._generations) + 1
        if number > at.GENERATIONS:
            oldest = min(self._generations)
            if generation < oldest:
                return None
            number = self._generations.pop(oldest).number
        self._generations[generation] = total = _Total(number)
        start = self._board.total_words(number)
        self._board.words[start : start + at.END] = memoryview(bytes(at.END * 8)).cast("Q")
        self._board.words[start + at.OF_GENERATION] = generation
        return total


class _Total:
    """One block of dead workers; `held` has the words that are not zero."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._sums: dict[int, float] = {}
        self._counts: dict[int, int] = {}

    def add(self, block: at.Block, board: Scoreboard) -> None:
        """Add a block, and write what has changed."""
        start = board.total_words(self.number)
        for word, seconds in enumerate(block.sums, at.LATENCY_SUM):
            if 0 < seconds < _MOST:
                self._sums[word] = board.floats[start + word] = self._sums.get(word, 0.0) + seconds
        for word, count in enumerate(block.counts, at.RESPONSES):
            if count:
                self._counts[word] = board.words[start + word] = (self._counts.get(word, 0) + count) & _MASK
