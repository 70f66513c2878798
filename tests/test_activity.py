"""What a worker counts, and what of it is in its row."""

from __future__ import annotations

import dis
import os
import struct
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork._errors import UsageError
from prefork._wire.measures import RECEIVED
from prefork._wire.scoreboard import HALF, HEADER, Scoreboard, create
from prefork._worker.activity import Activity
from prefork._worker.limits import private, resident


def mapped() -> Scoreboard:
    """A scoreboard of two rows, of which the second is used here."""
    descriptor = create(rows=2)
    try:
        return Scoreboard(descriptor)
    finally:
        os.close(descriptor)


def row(board: Scoreboard) -> memoryview:
    return board.bytes[HEADER + HALF : HEADER + 2 * HALF]


def numbers(row: memoryview) -> dict[str, int]:
    names = ("requests", "errors", "open", "in_flight", "polls")
    return dict(zip(names, struct.unpack("5Q", row[16:56]), strict=True))


def busy_since(row: memoryview) -> float:
    since: float = struct.unpack("d", row[8:16])[0]
    return since


def label(row: memoryview) -> bytes:
    return bytes(row[64:128]).rstrip(b"\0")


def test_counts_into_the_row() -> None:
    board = mapped()
    activity, mine = Activity(board, 1), row(board)
    activity.opened()
    activity.opened()
    activity.closed()
    assert activity.polled() == 1
    activity.begin("GET /")
    activity.begin("GET /orders")
    activity.end(failed=True)
    assert numbers(mine) == {"requests": 1, "errors": 1, "open": 1, "in_flight": 1, "polls": 3}
    assert label(mine) == b"GET /orders"
    assert (activity.requests, activity.errors, activity.open, activity.in_flight) == (1, 1, 1, 1)
    assert not any(board.bytes[HEADER : HEADER + HALF])
    assert not any(board.bytes[HEADER + 2 * HALF : board.block_words(1) * 8])
    assert not any(board.bytes[board.total_words(0) * 8 :])


def test_a_request_that_raises_has_failed() -> None:
    activity = Activity()
    with activity.request("GET /"):
        assert activity.in_flight == 1
    with pytest.raises(ValueError, match="of its own"), activity.request("GET /"):
        raise ValueError("of its own")
    assert (activity.requests, activity.errors, activity.in_flight) == (2, 1, 0)


def test_is_busy_since_the_last_progress_and_idle_at_zero() -> None:
    board = mapped()
    activity, mine = Activity(board, 1), row(board)
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
    board = mapped()
    Activity(board, 1).begin(text)
    found = label(row(board))
    assert text.startswith(found.decode())
    # What was left out is one character at least, for which there was no room.
    assert found.decode() == text or len(found) + len(text[len(found.decode())].encode()) > 64


def test_a_label_that_is_no_unicode_does_no_harm() -> None:
    board = mapped()
    Activity(board, 1).begin("GET /\udcff")
    assert label(row(board)) == b"GET /?"


def test_a_shorter_label_leaves_nothing_of_the_longer_one() -> None:
    board = mapped()
    activity, mine = Activity(board, 1), row(board)
    activity.begin("a long label")
    activity.begin("short")
    assert label(mine) == b"short"


def test_more_ends_than_begins_are_misuse() -> None:
    activity = Activity()
    with pytest.raises(UsageError, match=r"end\(\) once for each begin\(\)"):
        activity.end()
    with pytest.raises(UsageError, match=r"closed\(\) once for each opened\(\)"):
        activity.closed()


def test_pieces_of_bodies_are_counted_and_passed_on() -> None:
    board, passed = mapped(), list[tuple[str, bytes]]()
    activity = Activity(board, 1)
    take = activity.receiving(lambda protocol, body: passed.append((protocol, body)))
    take("a", b"12345")
    activity.received(2)
    take("b", b"678")
    assert passed == [("a", b"12345"), ("b", b"678")]
    assert board.words[board.block_words(1) + RECEIVED] == 10


@pytest.mark.parametrize("name", ["opened", "closed", "polled", "begin", "end"])
def test_no_thread_can_come_between_two_writes(name: str) -> None:
    names = [each.opname for each in dis.get_instructions(getattr(Activity, name))]
    writes = [place for place, name in enumerate(names) if name in ("STORE_ATTR", "STORE_SUBSCR")]
    assert len(writes) >= 2
    between = names[writes[0] : writes[-1]]
    assert not [name for name in between if "CALL" in name or "JUMP_BACKWARD" in name]


def test_threads_lose_no_count() -> None:
    board = mapped()
    activity, mine = Activity(board, 1), row(board)

    def count() -> None:
        for _ in range(2_000):
            activity.opened()
            activity.begin("x")
            activity.end()
            activity.closed()

    threads = [threading.Thread(target=count) for _ in range(4)]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(usual)
    assert numbers(mine) == {"requests": 8_000, "errors": 0, "open": 0, "in_flight": 0, "polls": 8_000}


def test_private_memory_leaves_out_pages_shared_with_the_parent() -> None:
    """And counts what the process itself writes."""
    size = 32 << 20
    inherited = bytearray(b"x") * size
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before = private()
            own = bytearray(b"x") * size
            os.write(writer, f"{resident()} {before} {private()}".encode())
        finally:
            os._exit(len(own) - len(inherited))
    os.waitpid(child, 0)
    in_memory, before, after = map(int, os.read(reader, 100).split())
    os.close(reader)
    os.close(writer)
    assert before < size < in_memory
    assert after - before > size * 0.9
