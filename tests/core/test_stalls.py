"""When a queue stands still, and when it only is long."""

from __future__ import annotations

import pytest

from prefork._core.stalls import PATIENCE, Stalls


def last(*looks: tuple[int, object]) -> bool:
    """Whether the queue is taken to stand still after these looks at it."""
    stalls = Stalls()
    return [1 in stalls.look({1: look, 2: (0, None)}) for look in looks][-1]


def test_a_queue_that_nobody_takes_from_stands_still() -> None:
    assert last(*[(3, "a")] * (PATIENCE + 1))
    assert last((1, "a"), (2, "a"), (5, "a"))


@pytest.mark.parametrize(
    "looks",
    [
        [(3, "a")] * PATIENCE,
        [(0, None)] * 9,
        [(5, "a"), (5, "a"), (4, "a")],
        [(5, "a"), (6, "a"), (7, "b")],
        [(1, "a"), (1, "a"), (0, None), (1, "a"), (1, "a")],
    ],
    ids=["not for long", "empty", "shorter", "counted", "empty in between"],
)
def test_a_queue_that_moves_does_not(looks: list[tuple[int, object]]) -> None:
    assert not last(*looks)


def test_it_moves_again_as_soon_as_anything_is_taken() -> None:
    assert not last(*[(3, "a")] * 20, (2, "a"))
    assert not last(*[(3, "a")] * 20, (3, "b"))


def test_one_that_is_gone_is_forgotten() -> None:
    stalls = Stalls()
    for _ in range(9):
        stalls.look({1: (3, "a")})
    assert stalls.look({}) == frozenset()
    assert stalls.look({1: (3, "a")}) == frozenset()
