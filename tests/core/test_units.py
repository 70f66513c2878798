"""Numbers, keys and foreign text as a person reads them."""

from __future__ import annotations

import pytest

from prefork._report.units import counted, duration, precise_duration, short_duration, short_number, short_size
from prefork._wire import keys
from prefork._wire.printable import printable


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0 s"),
        (0.0123, "0.012 s"),
        (9.0, "9 s"),
        (31.4, "31 s"),
        (720.0, "12 min"),
        (9000.0, "2 h"),
        (9e5, "10 days"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (-1.0, "0s"), (31.4, "31s"), (720.0, "12m"), (9000.0, "2h"), (9e5, "10d")]
)
def test_short_duration(seconds: float | None, text: str) -> None:
    assert short_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0, "0s"), (0.000042, "42µs"), (0.0012, "1.2ms"), (0.25, "250ms"), (1.26, "1.3s"), (250.0, "4m")],
)
def test_precise_duration(seconds: float | None, text: str) -> None:
    assert precise_duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.04, "0.0"), (3.25, "3.2"), (4.0, "4"), (99_999, "99999"), (1_234_567, "1235k"), (2e10, "20G")],
)
def test_short_number(number: float, text: str) -> None:
    assert short_number(number) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "-"), (0, "0k"), (1_700_000, "1.7M"), (12_340_000, "12.3M"), (123_000_000, "123M"), (2**34, "17.2G")],
)
def test_short_size(size: int | None, text: str) -> None:
    assert short_size(size) == text


def test_counted() -> None:
    assert [counted(number, "slot") for number in (0, 1, 2)] == ["0 slots", "1 slot", "2 slots"]


def test_keys_are_in_the_order_of_their_numbers() -> None:
    assert sorted(["web/10", "web/9", "mail", "web/1"], key=keys.order) == ["mail", "web/1", "web/9", "web/10"]


def test_printable_has_no_escape_sequence() -> None:
    assert printable("GET /\x1b[2J\u202e\ttea") == "GET /?[2J??tea"
