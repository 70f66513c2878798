"""What `prefork top` makes of readings and states, and which columns it has room for."""

from __future__ import annotations

from typing import Any

import pytest
from textual.geometry import Size

from cli.test_traffic import measures
from prefork._linux.listening.backlogs import Backlog
from prefork.cli._top.columns import RowContext, Usage, cell, columns_for
from prefork.cli._top.figures import TREND, Figures, Line, Traffic, served
from prefork.cli._top.heading import Head, band
from prefork.scoreboard import Counts, Process, Reading


def process(slot: str, pid: int, **more: Any) -> Process:
    plain = {
        "generation": 1,
        "state": "ready",
        "started": 0.0,
        "requests": 0,
        "errors": 0,
        "open": 0,
        "in_flight": 0,
        "spent": 0.0,
        "busy_for": None,
        "doing": "",
    }
    return Process(slot=slot, pid=pid, **{**plain, **more})


def reading(at: float, *processes: Process, before: int = 0) -> Reading:
    """A reading; `before` requests have been counted in each slot by workers that have ended."""
    slots: dict[str, Counts] = {}
    for each in processes:
        slots.setdefault(each.slot, Counts(before)).requests += each.requests
    return Reading(at, sum(counts.requests for counts in slots.values()), 0, processes, slots)


def slot(key: str, **more: Any) -> dict[str, Any]:
    plain = {"state": "ready", "pid": 7, "generation": 1, "since": 100.0, "serving": True, "leaving": []}
    return {"key": key, **plain, "restarts": 0, "last_exit": "", "retry_at": None, **more}


def test_the_first_reading_says_nothing_of_rates() -> None:
    figures = Figures()
    figures.add(reading(1.0, process("web/0", 7, requests=5000)))
    assert not figures.requests
    assert figures.lines({"slots": [slot("web/0")]}, 160.0)[0].rate == 0.0


def test_rates_and_means_cover_the_last_interval() -> None:
    figures = Figures()
    figures.add(reading(1.0, process("web/0", 7, requests=10, spent=9.0), process("web/1", 8)))
    figures.add(reading(3.0, process("web/0", 7, requests=14, spent=9.4), process("web/1", 8, requests=4, spent=1.2)))
    assert list(figures.requests) == [4.0]
    one, two = figures.lines({"slots": [slot("web/0"), slot("web/1", pid=8)]}, 160.0)
    assert (one.rate, one.requests, two.rate, two.requests) == (2.0, 14, 2.0, 4)
    assert [one.mean, two.mean] == [pytest.approx(0.1), pytest.approx(0.3)]
    assert one.age == 60.0


def test_where_nothing_has_ended_there_is_no_mean() -> None:
    figures = Figures()
    figures.add(reading(1.0, process("web/0", 7)))
    figures.add(reading(2.0, process("web/0", 7, spent=1.0, in_flight=1)))
    assert figures.lines({"slots": [slot("web/0")]}, 160.0)[0].mean is None


def test_a_replaced_worker_changes_no_rate() -> None:
    figures = Figures()
    figures.add(reading(1.0, process("web/0", 7, requests=100, spent=50.0)))
    figures.add(reading(2.0, process("web/0", 9, requests=3, spent=0.3), before=100))
    assert list(figures.requests) == [3.0]
    assert figures.lines({"slots": [slot("web/0", pid=9)]}, 160.0)[0].mean == pytest.approx(0.1)


def measured(at: float, okay: int, failed: int = 0) -> Reading:
    """A reading with requests of 0.1 s, those of generation 2 failed."""
    old, new = measures(okay), measures(0, failed)
    return Reading(
        at, 0, 0, (process("web/0", 7, measures=old + new),), {"web/0": Counts()}, old + new, {1: old, 2: new}
    )


def test_traffic_is_that_of_the_last_ten_seconds() -> None:
    figures = Figures()
    assert figures.traffic() == Traffic()
    for at in range(30):
        figures.add(measured(float(at), okay=10 * at, failed=max(0, at - 19)))
    found = figures.traffic()
    assert found.latency["p95"] == pytest.approx(0.1, rel=0.1)
    assert found.errors == {1: 0.0, 2: 1.0}
    assert found.queue is None
    assert len(figures.slow) == 29
    (line,) = figures.lines({"slots": [slot("web/0")]}, 160.0)
    assert line.latency is not None
    assert line.latency.count == 110


def test_seconds_without_a_request_have_no_percentile() -> None:
    figures = Figures()
    for at in range(3):
        figures.add(measured(float(at), okay=5))
    assert list(figures.slow) == [None, None]
    assert figures.traffic() == Traffic()


def test_a_slot_that_has_gone_is_forgotten() -> None:
    figures = Figures()
    for at in range(TREND + 5):
        figures.add(reading(float(at), process("web/0", 7), *([process("web/1", 8)] if at < 3 else [])))
    assert list(figures.trends) == ["web/0"]
    assert len(figures.trends["web/0"]) == TREND


def test_lines_are_in_natural_order_with_leavers_below() -> None:
    old = {"pid": 5, "state": "draining", "generation": 1, "since": 100.0}
    status = {"slots": [slot("web/10"), slot("web/9", leaving=[old], generation=2, pid=6)]}
    lines = Figures().lines(status, 101.0)
    assert [(line.key, line.pid, line.leaving) for line in lines] == [
        ("web/9", 6, False),
        ("web/9", 5, True),
        ("web/10", 7, False),
    ]


def test_who_is_to_be_served_is_counted() -> None:
    slots = [slot("a"), slot("b", serving=False, state="degraded"), slot("c", serving=False, state="finished")]
    assert served({"slots": slots}) == (1, 2)


@pytest.mark.parametrize("longest", [3, 9, 48])
@pytest.mark.parametrize("room", [20, 40, 60, 77, 100, 140, 197, 400])
def test_columns_fit(room: int, longest: int) -> None:
    columns = columns_for(longest, room)
    assert sum(width for _, width in columns) + len(columns) - 1 <= max(room, 6)
    assert columns[0][0].heading == "SLOT"


def test_small_terminal_shows_what_matters() -> None:
    small, large = ([column.heading for column, _ in columns_for(9, room)] for room in (77, 197))
    essential = {"SLOT", "STATE", "PID", "GEN", "AGE", "REQ/S", "BUSY", "NOW DOING", "CPU%", "PRIV", "RST"}
    assert set(small) == essential
    assert set(large) == essential | {"REQUESTS", "ERRORS", "", "LATENCY", "P95", "P99", "OPEN", "LAST EXIT"}


def test_a_label_gives_no_orders_to_the_terminal() -> None:
    hostile = process("web/0", 7, in_flight=1, busy_for=70.0, doing="GET /\x1b[2J\u202e漢字" * 9)
    line = Line("web/0", "ready", False, 7, 1, 1.0, None, 0, 0, 0.0, None, None, (), hostile, 0, "")
    for column, width in columns_for(9, 197):
        segments = cell(column.pieces(line, Usage(), RowContext(0.0, 1)), width, column.right, None)
        assert sum(segment.cell_length for segment in segments) == width, column.heading
        assert all(segment.text.isprintable() for segment in segments)


@pytest.mark.parametrize("width", [20, 78, 198])
@pytest.mark.parametrize("slots", [0, 1, 4, 40, 500])
def test_each_slot_has_its_place_in_the_band(slots: int, width: int) -> None:
    segments = band([slot(f"web/{number}") for number in range(slots)], width)
    assert sum(segment.cell_length for segment in segments) == width


def test_one_bad_slot_of_500_is_seen_in_the_band() -> None:
    fine = [slot(f"web/{number}") for number in range(500)]
    bad = [*fine[:250], slot("web/250", state="degraded", serving=False), *fine[251:]]
    looks = [{segment.style for segment in band(slots, 78)} for slots in (fine, bad)]
    assert len(looks[0]) == 1
    assert len(looks[1]) == 2


def shown(status: dict[str, Any], traffic: Traffic, waiting: dict[str, Backlog]) -> tuple[str, str]:
    """The line of the head with addresses and errors, 80 columns wide: its left and its right part."""

    class Narrow(Head):
        @property
        def size(self) -> Size:
            return Size(80, 4)

    head = Narrow()
    head.show("shop", status, 0.0, False)
    head.show_traffic(traffic, waiting)
    left, right = head._load()
    return "".join(each.text for each in left), "".join(each.text for each in right)


def listener(address: str, **more: Any) -> dict[str, Any]:
    return {"name": "http", "address": address, "auxiliary": False, **more}


def test_head_has_addresses_queue_and_errors_by_generation() -> None:
    status = {
        "listeners": [listener("tcp://*:80"), listener("unix:/a\x1b.sock"), listener("tcp://*:9", auxiliary=True)]
    }
    traffic = Traffic(queue=0.012, errors={3: 0.0, 4: 0.25})
    left, right = shown(status, traffic, {"tcp://*:80": Backlog(7, 7, 2048)})
    assert left == " tcp://*:80 7/2048 waiting  unix:/a?.sock  queue p95 12ms "
    assert right == "5xx g3 0% g4 25%  "


def test_head_cuts_an_address_that_does_not_fit() -> None:
    left, right = shown({"listeners": [listener("unix:///" + "long/" * 30)]}, Traffic(), {})
    assert (len(left), left[-1], right) == (80, "…", "")
