"""When a drain is cut: some time before the master kills."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Iterator
from functools import partial

import pytest

import prefork
from prefork._linux import kernel
from prefork._worker.draining.drain import Drain, last_part
from prefork._worker.draining.sleeper import Sleeper


@pytest.fixture
def drain() -> Iterator[Drain]:
    """A drain that has begun, with ten minutes from its request on."""
    drain = Drain()
    drain.timeout = 600.0
    drain.begin()
    drain.lifeline = kernel.eventfd()
    yield drain
    drain.close()


@pytest.mark.parametrize(
    ("timeout", "last"),
    [(0.0, 0.0), (1.0, 0.5), (2.0, 1.0), (4.0, 1.0), (10.0, 2.5), (30.0, 5.0), (600.0, 5.0), (math.inf, 5.0)],
)
def test_last_part_is_a_quarter_within_bounds(timeout: float, last: float) -> None:
    assert last_part(timeout) == last


def test_drain_without_a_timeout_is_never_cut() -> None:
    assert Drain().until_cut() > 0


def test_repeated_request_reads_that_the_drain_is_cut(drain: Drain) -> None:
    drain.request()
    assert drain.until_cut() > 500
    drain.read_messages = partial(drain.cut, 2.0)
    drain.request()
    assert drain.until_cut() == 0
    assert 0 < drain.deadline - time.monotonic() <= 2
    drain.cut(3600.0)
    assert drain.deadline - time.monotonic() <= 2, "it may not last longer"


def test_first_request_reads_that_the_drain_is_cut(drain: Drain) -> None:
    drain.read_messages = partial(drain.cut, 2.0)
    drain.request()
    assert drain.until_cut() == 0, "the two signals may come within a moment"


def test_sleep_after_the_cut_is_not_ended_by_it(drain: Drain) -> None:
    sleeper = Sleeper(drain)
    drain.request()
    drain.cut(2.0)
    select.select([drain.cut_short], [], [])
    sleeper.wake()
    sleeper.sleep(math.inf)
    begun = time.monotonic()
    sleeper.sleep(0.05)
    assert time.monotonic() - begun >= 0.05, "neither the cut nor an earlier wake-up ends it"


def test_program_that_is_no_worker_does_not_drain() -> None:
    assert not prefork.draining()
