"""Whole lines out of any pieces."""

from hypothesis import given, settings
from hypothesis import strategies as st

from prefork._master.relay import LONGEST, LineBuffer


def test_only_whole_lines_come_out_until_the_end() -> None:
    buffer = LineBuffer()
    assert buffer.feed(b"one\ntw") == b"one\n"
    assert buffer.feed(b"o") == b""
    assert buffer.feed(b"\n\nthree") == b"two\n\n"
    assert buffer.flush() == b"three\n"
    assert buffer.flush() == b""


def test_carriage_returns_are_left_alone() -> None:
    assert LineBuffer().feed(b"10%\r20%\r\n") == b"10%\r20%\r\n"


@given(st.lists(st.binary(max_size=50)))
def test_nothing_is_lost_or_changed(pieces: list[bytes]) -> None:
    buffer = LineBuffer()
    fed = [buffer.feed(piece) for piece in pieces]
    assert all(lines == b"" or lines.endswith(b"\n") for lines in fed)
    whole, came = b"".join(pieces), b"".join(fed) + buffer.flush()
    assert came == (whole if not whole or whole.endswith(b"\n") else whole + b"\n")


@settings(deadline=None)
@given(st.integers(1, 3 * LONGEST), st.integers(1000, 2 * LONGEST), st.booleans())
def test_long_lines_are_broken_and_no_piece_is_too_long(length: int, step: int, ended: bool) -> None:
    line = b"x" * length + b"\n" * ended
    buffer = LineBuffer()
    came = b"".join(buffer.feed(line[start : start + step]) for start in range(0, len(line), step)) + buffer.flush()
    lines = came.split(b"\n")
    assert max(map(len, lines)) <= LONGEST
    assert came.replace(b"\n", b"") == b"x" * length
    assert len([line for line in lines if line]) == -(-length // LONGEST)


def test_a_long_line_among_short_ones_keeps_them_apart() -> None:
    came = LineBuffer().feed(b"a\n" + b"x" * (LONGEST + 1) + b"\nb\n\n")
    assert came == b"a\n" + b"x" * LONGEST + b"\nx\nb\n\n"
