"""When a drain is cut: some time before the master kills."""

from __future__ import annotations

import math

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
    assert Drain().until_cut() is None


def test_program_that_is_no_worker_does_not_drain() -> None:
    assert not prefork.draining()
