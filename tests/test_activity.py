"""What a worker counts, and what of it is in its row."""

from __future__ import annotations

import struct
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork._activity import Activity
from prefork._errors import MisuseError
from prefork._linux.scoreboard import HALF


def row() -> memoryview:
    return memoryview(bytearray(HALF))


def numbers(row: memoryview) -> dict[str, int]:
    found = struct.unpack("ddQQQQQ", row[:56])
    return dict(zip(("requests", "errors", "open", "in_flight"), map(int, found[2:6]), strict=True))


def busy_since(row: memoryview) -> float:
    since: float = struct.unpack("d", row[8:16])[0]
    return since


def label(row: memoryview) -> bytes:
    return bytes(row[64:]).rstrip(b"\0")


def test_counts_into_the_row() -> None:
    mine = row()
    activity = Activity(mine)
    activity.opened()
    activity.opened()
    activity.closed()
    activity.begin("GET /")
    activity.begin("GET /orders")
    activity.end(failed=True)
    assert numbers(mine) == {"requests": 1, "errors": 1, "open": 1, "in_flight": 1}
    assert label(mine) == b"GET /orders"
    assert (activity.requests, activity.errors, activity.open, activity.in_flight) == (1, 1, 1, 1)


def test_a_request_that_raises_has_failed() -> None:
    activity = Activity()
    with activity.request("GET /"):
        assert activity.in_flight == 1
    with pytest.raises(ValueError, match="of its own"), activity.request("GET /"):
        raise ValueError("of its own")
    assert (activity.requests, activity.errors, activity.in_flight) == (2, 1, 0)


def test_is_busy_since_the_last_progress_and_idle_at_zero() -> None:
    mine = row()
    activity = Activity(mine)
    assert busy_since(mine) == 0.0
    before = time.monotonic()
    activity.begin("one")
    began = busy_since(mine)
    assert before <= began <= time.monotonic()
    activity.begin("two")
    assert busy_since(mine) == began
    activity.end()
    moved = busy_since(mine)
    assert began < moved <= time.monotonic()
    activity.end()
    assert busy_since(mine) == 0.0


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_a_label_is_cut_between_characters(text: str) -> None:
    mine = row()
    Activity(mine).begin(text)
    found = label(mine)
    assert text.startswith(found.decode())
    # What was left out is one character at least, for which there was no room.
    assert found.decode() == text or len(found) + len(text[len(found.decode())].encode()) > 64


def test_a_label_that_is_no_unicode_does_no_harm() -> None:
    mine = row()
    Activity(mine).begin("GET /\udcff")
    assert label(mine) == b"GET /?"


def test_a_shorter_label_leaves_nothing_of_the_longer_one() -> None:
    mine = row()
    activity = Activity(mine)
    activity.begin("a long label")
    activity.begin("short")
    assert label(mine) == b"short"


def test_more_ends_than_begins_are_misuse() -> None:
    activity = Activity()
    with pytest.raises(MisuseError, match=r"end\(\) once for each begin\(\)"):
        activity.end()
    with pytest.raises(MisuseError, match=r"closed\(\) once for each opened\(\)"):
        activity.closed()


def test_threads_lose_no_count() -> None:
    mine = row()
    activity = Activity(mine)

    def count() -> None:
        for _ in range(5_000):
            activity.opened()
            activity.begin("x")
            activity.end()
            activity.closed()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert numbers(mine) == {"requests": 20_000, "errors": 0, "open": 0, "in_flight": 0}
