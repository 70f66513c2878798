"""When a worker is profiled by itself: by plain calls, with a clock that the test sets."""

from __future__ import annotations

from prefork._core.profiling.slowness import INTERVAL, LONGEST, Due, Slowness, Standing


def test_slow_worker_is_due_once_it_has_stood_still_long_enough() -> None:
    slowness = Slowness(2.0, on_hang=False)
    assert slowness.due([Standing(1, 100.0, 30.0)], 101.9) is None
    assert slowness.due([Standing(1, 100.0, 30.0)], 102.0) == Due(1, LONGEST, 2.0)


def test_worker_about_to_hang_is_due_at_half_of_its_time() -> None:
    slowness = Slowness(0.0, on_hang=True)
    assert slowness.due([Standing(1, 100.0, 6.0)], 102.9) is None
    assert slowness.due([Standing(1, 100.0, 6.0)], 103.0) == Due(1, 3.0, 3.0), "until it counts as hung"


def test_idle_worker_and_one_that_never_hangs_are_not_due() -> None:
    assert Slowness(2.0, on_hang=True).due([Standing(1, 0.0, 30.0)], 1000.0) is None
    assert Slowness(0.0, on_hang=True).due([Standing(1, 100.0, 0.0)], 1000.0) is None


def test_of_many_the_slowest_is_due_then_the_next() -> None:
    slowness = Slowness(1.0, on_hang=False)
    standing = [Standing(1, 105.0, 0.0), Standing(2, 104.0, 0.0)]
    first = slowness.due(standing, 110.0)
    assert first is not None
    assert first.pid == 2
    assert slowness.due(standing, 109.0 + INTERVAL) is None
    second = slowness.due(standing, 110.0 + INTERVAL)
    assert second is not None
    assert second.pid == 1
    assert slowness.due(standing, 111.0 + 2 * INTERVAL) is None, "each once, until it has made progress"


def test_pause_follows_the_least_time_and_is_none_without_one() -> None:
    assert not Slowness(0.0, on_hang=False).wanted
    assert Slowness(0.0, on_hang=False).pause({30.0}) == 0.0
    assert Slowness(0.0, on_hang=True).pause({0.0}) == 0.0
    assert Slowness(0.0, on_hang=True).pause({8.0, 80.0}) == 1.0
    assert Slowness(0.4, on_hang=True).pause({8.0}) == 0.1
    assert Slowness(0.001, on_hang=False).pause({8.0}) == 0.05
