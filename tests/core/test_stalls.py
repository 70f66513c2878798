"""When a queue is stalled, and when it is only long."""

from __future__ import annotations

import pytest

from prefork._core.watch.stalls import PATIENCE, Stalls


def last(*samples: tuple[int, object]) -> bool:
    """Whether the queue is stalled after these samples of it."""
    stalls = Stalls()
    return [1 in stalls.add_sample({1: sample, 2: (0, None)}) for sample in samples][-1]


def test_unchanged_queue_is_stalled() -> None:
    assert last(*[(3, "a")] * (PATIENCE + 1))
    assert last((1, "a"), (2, "a"), (5, "a"))


@pytest.mark.parametrize(
    "samples",
    [
        [(3, "a")] * PATIENCE,
        [(0, None)] * 9,
        [(5, "a"), (5, "a"), (4, "a")],
        [(5, "a"), (6, "a"), (7, "b")],
        [(1, "a"), (1, "a"), (0, None), (1, "a"), (1, "a")],
    ],
    ids=["not for long", "empty", "shorter", "counted", "empty in between"],
)
def test_changing_queue_is_not_stalled(samples: list[tuple[int, object]]) -> None:
    assert not last(*samples)


def test_any_progress_ends_a_stall() -> None:
    assert not last(*[(3, "a")] * 20, (2, "a"))
    assert not last(*[(3, "a")] * 20, (3, "b"))


def test_removed_queue_is_forgotten() -> None:
    stalls = Stalls()
    for _ in range(9):
        stalls.add_sample({1: (3, "a")})
    assert stalls.add_sample({}) == frozenset()
    assert stalls.add_sample({1: (3, "a")}) == frozenset()
