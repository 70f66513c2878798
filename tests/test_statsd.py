"""What a second of a daemon is in the lines of statsd."""

from __future__ import annotations

from prefork._agent.push.lines import figures, packed
from prefork.scoreboard import Histogram, Measures, Process, Reading


def process(slot: str, state: str = "ready") -> Process:
    return Process(slot, 7, 1, state, 0.0, 0, 0, 0, 0, 0.0, None, "")  # type: ignore[arg-type]


def reading(measures: Measures, *processes: Process) -> Reading:
    return Reading(0.0, 0, 0, processes, {}, measures)


def measured(responses: tuple[int, ...], counts: tuple[int, ...]) -> Measures:
    return Measures(responses=responses, latency=Histogram((0.001, 0.002, 0.004), counts, 0.0))


def test_difference_of_two_readings_has_gunicorns_names() -> None:
    before = reading(measured((0, 0, 10, 0, 0, 0), (10, 0, 0, 0)))
    now = measured((1, 0, 15, 2, 1, 3), (17, 1, 0, 4))
    workers = (process("web/0"), process("web/1", "starting"), process("web/1", "draining"), process("agent/0"))
    assert list(figures(before, reading(now, *workers), without={"agent/0"})) == [
        "gunicorn.workers:2|g",
        "gunicorn.requests:12|c",
        "gunicorn.request.status.2xx:5|c",
        "gunicorn.request.status.3xx:2|c",
        "gunicorn.request.status.4xx:1|c",
        "gunicorn.request.status.5xx:3|c",
        "gunicorn.request.duration:0.5|ms|@0.142857142856",
        "gunicorn.request.duration:1.5|ms",
        "gunicorn.request.duration:4|ms|@0.249999999999",
    ]


def test_receivers_count_a_bucket_as_often_as_it_was_measured() -> None:
    """They take the whole part of 1 / rate."""
    for count in range(2, 5000):
        before, now = measured((0,) * 6, (0, 0, 0, 0)), measured((0,) * 6, (count, 0, 0, 0))
        *_, line = figures(reading(before), reading(now), without={"agent/0"})
        assert int(1 / float(line.rpartition("@")[2])) == count


def test_second_without_requests_has_only_the_workers() -> None:
    idle = reading(Measures(), process("web/0"))
    assert list(figures(idle, idle, without={"agent/0"})) == ["gunicorn.workers:1|g"]


def test_datagrams_have_prefix_and_tags_and_fit_a_frame() -> None:
    assert list(packed(["a:1|c", "b:2|g"], "shop.", "env:live,team:cats")) == [
        b"shop.a:1|c|#env:live,team:cats\nshop.b:2|g|#env:live,team:cats"
    ]
    lines = [f"gunicorn.request.duration:{number}|ms" for number in range(100)]
    sent = list(packed(lines))
    assert len(sent) == 3
    assert max(map(len, sent)) <= 1432
    assert b"\n".join(sent).decode().splitlines() == lines
