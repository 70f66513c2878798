"""Histograms: where a value counts, and what percentiles and differences say; what a worker writes of its requests."""

from __future__ import annotations

import asyncio
import bisect
import math
import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork._wire import measures
from prefork._wire.measures import LATENCY_BOUNDS, QUEUE_BOUNDS
from prefork._wire.scoreboard import Scoreboard, create
from prefork._worker.activity import Activity
from prefork._worker.async_loop import run
from prefork.scoreboard import Board, Histogram, Measures

TIMES = st.floats(0.00025, 60.0)


def histogram(values: list[float]) -> Histogram:
    counts = [0] * (1 + len(LATENCY_BOUNDS))
    for value in values:
        counts[bisect.bisect_left(LATENCY_BOUNDS, value)] += 1
    return Histogram(LATENCY_BOUNDS, tuple(counts), sum(values))


@given(st.lists(TIMES, min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_percentile_is_within_ten_percent(values: list[float], share: float) -> None:
    found = histogram(values).quantile(share)
    true = sorted(values)[math.ceil(share * len(values)) - 1]
    assert found is not None
    assert true / 1.1 < found < true * 1.1


@given(TIMES, st.integers(1, 1000))
def test_a_percentile_of_equal_values_is_within_ten_percent(value: float, times: int) -> None:
    """The hardest ones for interpolation: a service that waits for one timeout."""
    found = histogram([value] * times).quantile(0.95)
    assert found is not None
    assert value / 1.1 < found < value * 1.1


@given(st.lists(TIMES, max_size=50), st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_a_larger_share_has_no_smaller_quantile(values: list[float], shares: list[float]) -> None:
    found = [histogram(values).quantile(share) for share in sorted(shares)]
    assert found == sorted(found, key=lambda each: each or 0.0)
    assert (found[0] is None) == (not values)


def test_quantile_at_the_edges() -> None:
    assert histogram([]).quantile(0.95) is None
    assert histogram([100.0]).quantile(0.5) == 64.0, "above the last bound it is the last bound"
    assert histogram([0.0]).quantile(1.0) == LATENCY_BOUNDS[0]
    assert histogram([0.0, 1.0]).quantile(0.0) == 0.0
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            histogram([1.0]).quantile(share)


@given(st.lists(TIMES, max_size=50), st.lists(TIMES, max_size=50))
def test_the_difference_of_two_readings_is_what_came_between(before: list[float], later: list[float]) -> None:
    between = histogram(before + later) - histogram(before)
    assert (between.counts, between.count) == (histogram(later).counts, len(later))
    assert between.total == pytest.approx(sum(later), abs=1e-6)
    assert (histogram(before) + histogram(later)).counts == histogram(before + later).counts


def test_measures_are_added_and_subtracted_field_by_field() -> None:
    one = Measures((1, 2, 3, 4, 5, 6), histogram([1.0]), sent=1, received=2, disconnects=3, refused=4, lag=0.5, late=6)
    assert one + Measures() == one == one - Measures()
    assert one - one == Measures()
    assert (one + one).responses == (2, 4, 6, 8, 10, 12)
    assert (one + one).late == 12


def test_bounds_are_those_of_exponential_histograms() -> None:
    """Eight, and four, in an octave, with each power of two itself."""
    assert (LATENCY_BOUNDS[0], LATENCY_BOUNDS[-1], len(LATENCY_BOUNDS)) == (2.0**-13, 64.0, 19 * 8 + 1)
    assert (QUEUE_BOUNDS[0], QUEUE_BOUNDS[-1], len(QUEUE_BOUNDS)) == (2.0**-10, 64.0, 16 * 4 + 1)
    assert LATENCY_BOUNDS[::8] == tuple(2.0**n for n in range(-13, 7))
    assert 1 + len(LATENCY_BOUNDS) == measures.QUEUE_AT - measures.LATENCY_AT
    assert 1 + len(QUEUE_BOUNDS) == measures.END - measures.QUEUE_AT


class Counting:
    """A worker's activity, and the block that it writes."""

    def __init__(self) -> None:
        descriptor = create(rows=2)
        self.board = Scoreboard(descriptor)
        os.close(descriptor)
        self.activity = Activity(self.board, 1)

    @property
    def measures(self) -> Measures:
        # As a row that is ready, for the reader.
        words, place = self.board.words, self.board.master_words(1)
        words[7] = 2
        words[place], words[place + 1], words[place + 2] = os.getpid(), 1, 2
        return Board(self.board).read().processes[0].measures


@pytest.fixture
def counting() -> Iterator[Counting]:
    yield (counting := Counting())
    counting.activity.retire()


@pytest.mark.parametrize(
    ("status", "place"), [(0, 0), (101, 1), (200, 2), (299, 2), (304, 3), (404, 4), (599, 5), (600, 0), (-1, 0)]
)
def test_a_response_counts_in_its_class(counting: Counting, status: int, place: int) -> None:
    counting.activity.begin("GET /")
    counting.activity.end(status=status)
    assert counting.measures.responses[place] == sum(counting.measures.responses) == 1


def test_latency_is_from_each_begin_to_its_own_end(counting: Counting) -> None:
    first = counting.activity.begin("GET /slow")
    second = counting.activity.begin("GET /quick")
    counting.activity.end(begun=second - 0.001)
    counting.activity.end(begun=first - 1.0)
    latency = counting.measures.latency
    assert latency.count == 2
    assert 1.001 <= latency.total < 1.5
    assert 1.0 < (latency.quantile(1.0) or 0) < 1.5
    assert 0.001 <= (latency.quantile(0.5) or 0) < 0.5


def test_a_request_that_is_alone_needs_no_begin_for_its_end(counting: Counting) -> None:
    for _ in range(3):
        counting.activity.begin("one")
        counting.activity.end()
    with counting.activity.request("two"):
        pass
    assert counting.measures.latency.count == 4


def test_bytes_sent_add_up(counting: Counting) -> None:
    for size in (0, 1, 2**40):
        counting.activity.begin("GET /")
        counting.activity.end(sent=size)
    assert counting.measures.sent == 2**40 + 1


def test_a_turn_that_holds_the_event_loop_is_counted(counting: Counting) -> None:
    async def hold() -> None:
        time.sleep(0.06)
        await asyncio.sleep(0)

    run(hold(), counting.activity)
    assert (counting.measures.late, counting.measures.lag) == (0, 0.0), "it has not begun to serve"
    with counting.activity.request("GET /"):
        run(hold(), counting.activity)
    assert counting.measures.late >= 1
    assert 0.06 <= counting.measures.lag < 5


def test_what_is_counted_beside_requests(counting: Counting) -> None:
    counting.activity.received(10)
    counting.activity.received(2**64 - 1)
    counting.activity.disconnected()
    counting.activity.refused()
    counting.activity.queued(0.0)
    counting.activity.queued(2.0)
    found = counting.measures
    assert (found.received, found.disconnects, found.refused) == (9, 1, 1)
    assert (found.queue.count, found.queue.total, found.queue.quantile(1.0)) == (2, 2.0, 2.0)
