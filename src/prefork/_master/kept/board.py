"""The master's half of the scoreboard, kept through an exec. The memory itself passes by its descriptor."""

from __future__ import annotations

from ..._wire.scoreboard import Scoreboard, write_head
from ..scoreboard.board import Board
from ..scoreboard.dead import _Total
from .records import KeptBoard, KeptTotal


def save(board: Board) -> KeptBoard:
    """Return what the master keeps of the rows."""
    return KeptBoard(
        rows=board._rows,
        pids=board._pids,
        slots=board._slots,
        ended=tuple(board._ended),
        changes=board._changes,
        requests=board._requests,
        errors=board._errors,
        groups={(key[0], key[1]): number for key, number in board._groups.items()},  # type: ignore[index]
        dead=_kept(board._dead._all),
        generations={of: _kept(total) for of, total in board._dead._generations.items()},
    )


def restore(board: Board, kept: KeptBoard) -> None:
    """Go on with the scoreboard that is at the descriptor of `board` by now."""
    board._board.close()
    write_head(board.descriptor)
    Scoreboard.__init__(board._board, board.descriptor)  # In place: other parts read through the same object.
    board._words = board._board.words
    board._rows, board._pids, board._slots = kept.rows, kept.pids, kept.slots
    board._ended = dict.fromkeys(kept.ended)
    board._changes, board._requests, board._errors = kept.changes, kept.requests, kept.errors
    board._groups = dict(kept.groups.items())
    board._dead._all = _total(kept.dead)
    board._dead._generations = {of: _total(total) for of, total in kept.generations.items()}


def _kept(total: _Total) -> KeptTotal:
    return KeptTotal(total.number, total._sums, total._counts)


def _total(kept: KeptTotal) -> _Total:
    total = _Total(kept.number)
    total._sums, total._counts = kept.sums, kept.counts
    return total
