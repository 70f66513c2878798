"""When a drain is cut: some time before the master kills."""

from __future__ import annotations

import math
import time
from functools import partial

import pytest

import prefork
from prefork._worker.drain import Drain, last_part


@pytest.mark.parametrize(
    ("timeout", "last"),
    [(0.0, 0.0), (1.0, 0.5), (2.0, 1.0), (4.0, 1.0), (10.0, 2.5), (30.0, 5.0), (600.0, 5.0), (math.inf, 5.0)],
)
def test_last_part_is_a_quarter_within_bounds(timeout: float, last: float) -> None:
    assert last_part(timeout) == last


def test_drain_without_a_timeout_is_never_cut() -> None:
    assert Drain().until_cut() > 0


def test_master_may_cut_a_drain_at_any_look() -> None:
    drain = Drain()
    drain.cut_at = drain.deadline = time.monotonic() + 600
    drain.on_look = partial(drain.cut, 2.0)
    assert drain.until_cut() == 0
    assert 0 < drain.deadline - time.monotonic() <= 2
    drain.cut(3600.0)
    assert drain.deadline - time.monotonic() <= 2, "it may not last longer"


def test_program_that_is_no_worker_does_not_drain() -> None:
    assert not prefork.draining()
