"""What commands make of two readings: percentiles, errors by generation, in words and as data."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import pytest

from prefork.cli._traffic import by_generation, by_slot, errors, lines, percent, traffic
from prefork.scoreboard import Histogram, Measures, Process, Reading


def latencies(*seconds: float) -> Histogram:
    empty = Measures().latency
    counts = [0] * len(empty.counts)
    for each in seconds:
        counts[bisect_left(empty.bounds, each)] += 1
    return Histogram(empty.bounds, tuple(counts), sum(seconds))


def measures(okay: int, failed: int = 0, each: float = 0.1, **more: Any) -> Measures:
    return Measures((0, 0, okay, 0, 0, failed), latencies(*[each] * (okay + failed)), **more)


def process(slot: str, pid: int, its: Measures) -> Process:
    return Process(slot, pid, 1, "ready", 0.0, 0, 0, 0, 0, 0.0, None, "", its)


def reading(at: float, whole: Measures, *processes: Process, **generations: Measures) -> Reading:
    by_number = {int(name.removeprefix("g")): its for name, its in generations.items()}
    return Reading(at, 0, 0, processes, {}, whole, by_number)


FIRST = reading(10.0, measures(100), g1=measures(100))
LATER = reading(20.0, measures(290, 10), g1=measures(190), g2=measures(100, 10, each=0.4))


def test_traffic_between_readings_leaves_out_what_was_before() -> None:
    found = traffic(LATER, FIRST)
    assert found["seconds"] == 10.0
    assert found["responses"] == {"none": 0, "1xx": 0, "2xx": 190, "3xx": 0, "4xx": 0, "5xx": 10}
    assert found["latency"]["count"] == 200
    assert found["latency"]["p50"] == pytest.approx(0.1, rel=0.1)
    assert found["generations"]["1"]["responses"]["2xx"] == 90
    assert found["generations"]["2"]["latency"]["p99"] == pytest.approx(0.4, rel=0.1)


def test_traffic_without_a_first_reading_is_since_the_start() -> None:
    found = traffic(LATER, None)
    assert (found["seconds"], found["responses"]["2xx"]) == (None, 290)
    assert next(lines(found)).endswith("(300 requests since the start)")


def test_generation_without_requests_since_is_left_out() -> None:
    last = reading(30.0, measures(290, 10), g1=measures(190), g2=measures(150, 10))
    assert list(by_generation(last, LATER)) == [2]
    assert by_generation(last, None).keys() == {1, 2}


def test_latency_of_a_slot_is_that_of_its_living_processes() -> None:
    before = reading(1.0, measures(0), process("web/0", 7, measures(5)), process("web/1", 9, measures(1)))
    after = reading(2.0, measures(0), process("web/0", 7, measures(6)), process("web/0", 8, measures(2)))
    assert {slot: its.count for slot, its in by_slot(after, before).items()} == {"web/0": 3}


def test_daemon_without_requests_has_no_figures() -> None:
    found = traffic(reading(1.0, Measures(), g1=Measures()), None)
    assert list(lines(found)) == ["latency: p50 -, p95 -, p99 - (0 requests since the start)"]
    assert errors(Measures()) is None


def test_lines_say_what_there_is() -> None:
    more: dict[str, Any] = {"queue": Measures().queue, "disconnects": 1, "refused": 3}
    said = list(lines(traffic(reading(20.0, measures(1, **more), g1=measures(99, 1)), None)))
    assert said[1] == "clients: 1 disconnect, 3 refused by limits"
    assert said[2].startswith("generation 1: 100 requests, 5xx 1.0%, p50 ")


@pytest.mark.parametrize(
    ("share", "text"), [(None, "-"), (0.0, "0%"), (0.0004, "<0.1%"), (0.012, "1.2%"), (0.25, "25%"), (1.0, "100%")]
)
def test_share_is_short(share: float | None, text: str) -> None:
    assert percent(share) == text
