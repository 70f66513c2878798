"""When a worker leaves a shared queue to the others: the rule alone, without a process."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork._worker.accept_throttle import MOST, PAUSE, PAUSES, SHARE, SLACK, AcceptThrottle, PeerLoad


class Board:
    """Workers by number: how many connections each has open, and how often it has looked."""

    def __init__(self, *open_: int) -> None:
        self.open = list(open_)
        self.polls = [0] * len(open_)
        self.ways = [self._way(number) for number in range(len(open_))]

    def _way(self, number: int) -> AcceptThrottle:
        def look() -> int:
            self.polls[number] += 1
            return self.open[number]

        return AcceptThrottle(look, lambda: self.others(number))

    def others(self, number: int) -> list[PeerLoad]:
        loads = zip(range(len(self.open)), self.open, self.polls, strict=True)
        return [each for each in loads if each[0] != number]

    def pauses(self, number: int) -> bool:
        """Have this worker come to the queue; whether it leaves it alone. Else it accepts one."""
        pause = self.ways[number].pause()
        assert pause in (0.0, PAUSE)
        self.open[number] += not pause
        return pause > 0


def test_who_has_few_does_not_even_look_at_the_others() -> None:
    def unused() -> Sequence[PeerLoad]:
        raise AssertionError

    assert AcceptThrottle(lambda: SLACK, unused).pause() == 0.0


def test_who_has_clearly_more_than_one_of_the_others_pauses() -> None:
    assert Board(10 + SLACK + 1, 10, 50).pauses(0)
    assert not Board(10 + SLACK, 10, 50).pauses(0)


def test_who_has_the_fewest_never_waits() -> None:
    board = Board(10, 10, 500)
    assert not any(board.pauses(0) or board.pauses(1) for _ in range(100))


def test_alone_nobody_waits() -> None:
    assert not Board(1000).pauses(0)


def test_with_many_connections_the_slack_is_a_share_of_the_mean() -> None:
    slack = int(1000 * SHARE)
    assert not Board(1000 + slack, 1000, 1000, 1000).pauses(0)
    assert Board(1000 + 2 * slack, 1000, 1000, 1000).pauses(0)


def test_one_that_hangs_is_waited_for_once() -> None:
    board = Board(20, 5)
    assert [board.pauses(0) for _ in range(PAUSES + 20)] == [True] * PAUSES + [False] * 20


def test_one_that_hung_counts_again_when_it_moves() -> None:
    board = Board(20, 5)
    while board.pauses(0):
        pass
    board.polls[1] += 1
    assert board.pauses(0)


def test_one_that_hangs_does_not_hide_another_with_fewer() -> None:
    board = Board(20, 5, 6)
    for _ in range(PAUSES + 5):
        assert board.pauses(0)
        board.polls[2] += 1
    assert board.open == [20, 5, 6]


def test_waiting_for_a_hung_worker_is_no_hang() -> None:
    board = Board(20, 12, 5)
    for _ in range(40):
        board.pauses(0)
        board.pauses(1)
    assert board.open[2] == 5
    assert board.open[0] - board.open[1] <= SLACK + 1


def test_one_that_begins_to_hang_later_is_found_too() -> None:
    board = Board(20, 5)
    for _ in range(PAUSES - 1):
        assert board.pauses(0)
        board.polls[1] += 1
    pauses = 0
    while board.pauses(0):
        pauses += 1
    assert pauses <= 2 * PAUSES


def test_wait_for_moving_peers_has_an_end() -> None:
    board = Board(20, 5)
    pauses = 0
    while board.pauses(0):
        pauses += 1
        board.polls[1] += 1
    assert pauses == MOST


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.integers(0))
def test_worker_that_retries_accepts_in_the_end(open_: list[int], seed: int) -> None:
    chance = random.Random(seed)
    board = Board(*open_)
    for _ in range(MOST + 1):
        if not board.pauses(0):
            return
        if len(open_) > 1:
            other = chance.randint(1, len(open_) - 1)
            board.open[other] = chance.randint(0, 100)
            board.polls[other] += 1
    pytest.fail("it waits for ever")


@given(st.integers(2, 6), st.randoms(use_true_random=False), st.integers(0, 3))
def test_it_balances_in_any_order_of_arrival(workers: int, chance: random.Random, greed: int) -> None:
    """One worker comes to the queue far more often than the others, who all come now and then."""
    board = Board(*[0] * workers)
    while sum(board.open) < 50 * workers:
        order = list(range(workers)) + [0] * greed
        chance.shuffle(order)
        for number in order:
            board.pauses(number)
    assert max(board.open) - min(board.open) <= SLACK + 1
