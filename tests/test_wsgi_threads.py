"""What a WSGI worker reports of the requests that its threads work on: by plain calls, in this process."""

from __future__ import annotations

import io
import os
import threading
from _thread import get_native_id
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prefork._wire.scoreboard import Row, Scoreboard, create
from prefork._worker.activity import Activity, beat
from prefork._worker.draining.drain import Drain
from prefork.adapters.wsgi import CountingApplication


class Served:
    """An application as a server with `threads` threads calls it, and the row of its worker."""

    def __init__(self, threads: int, application: Any) -> None:
        descriptor = create(rows=1)
        self.board = Scoreboard(descriptor)
        os.close(descriptor)
        self.woken = 0
        self.activity = Activity(self.board, 0)
        self.activity.wake = self._wake
        worker: Any = SimpleNamespace(activity=self.activity, _drain=Drain())
        self.counting = CountingApplication(application, worker, threads)
        self.write: Any = None

    def _wake(self) -> None:
        self.woken += 1

    def call(self, path: str, body: Any = None) -> Any:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.input": body or io.BytesIO()}
        environ |= {"CONTENT_LENGTH": "18"} if body else {}
        return self.counting(environ, lambda *_status: self.write)

    @property
    def row(self) -> Row:
        return self.board._row(0)

    @property
    def oldest(self) -> str:
        return self.row.oldest or self.row.label

    @property
    def at_work(self) -> int:
        return self.row.in_flight - self.row.waiting


def plain(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


def test_row_is_idle_after_a_request() -> None:
    served = Served(8, plain)
    served.call("/")
    row = served.row
    assert (row.threads, row.in_flight, row.waiting, row.busy_since, row.label, row.oldest) == (
        8,
        0,
        0,
        0.0,
        "GET /",
        "",
    )
    assert row.moved > 0


def test_oldest_request_is_named_then_the_next() -> None:
    served = Served(8, lambda _environ, _start: iter([b"1", b"2"]))
    threads = served.counting.calls._threads
    first, second = threads.begin("GET /first", get_native_id()), threads.begin("GET /second", get_native_id())
    begun = served.row
    assert (begun.oldest, begun.label) == ("GET /first", "GET /second")
    assert begun.busy_since < begun.moved
    threads.end(first, failed=False)
    row = served.row
    assert (row.oldest, row.label, row.in_flight) == ("", "GET /second", 1)
    assert begun.busy_since < row.busy_since <= begun.moved < row.moved
    threads.end(second, failed=True)
    assert (served.row.busy_since, served.row.errors) == (0.0, 1)


def test_upload_waits_for_its_client() -> None:
    at_work: set[int] = set()

    class Body(io.BytesIO):
        def read(self, *size: Any) -> bytes:
            at_work.add(served.at_work)
            return super().read(*size)

        def readline(self, *size: Any) -> bytes:
            at_work.add(served.at_work)
            return super().readline(*size)

    def application(environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        found = [body.read(2), body.readline(), next(body), *body, body.readlines()]
        assert found == [b"on", b"e\n", b"two\n", b"three\n", b"four", []]
        assert served.at_work == 1
        return [b""]

    served = Served(8, application)
    served.call("/upload", Body(b"one\ntwo\nthree\nfour"))
    assert at_work == {0}
    assert served.row.waiting == 0


def test_download_waits_for_its_client() -> None:
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for piece in b"one", b"two":
            made.append(served.at_work)
            yield piece
        made.append(served.at_work)

    served = Served(1, lambda _environ, _start: pieces())
    answer = served.call("/download")
    for _piece in answer:
        assert (served.at_work, served.row.in_flight, served.row.busy_since) == (0, 1, 0.0)
    answer.close()
    assert made == [1, 1, 1]
    assert (served.row.in_flight, served.row.waiting) == (0, 0)


def test_client_gone_in_a_download_leaves_nothing() -> None:
    served = Served(1, lambda _environ, _start: iter([b"one", b"two"]))
    answer = served.call("/download")
    assert next(iter(answer)) == b"one"
    answer.close()
    assert (served.row.in_flight, served.row.waiting, served.row.busy_since) == (0, 0, 0.0)


def test_write_waits_for_the_client() -> None:
    def application(_environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"x")
        at_work.append(served.at_work)
        return []

    at_work: list[int] = []
    served = Served(1, application)
    served.write = lambda _data: at_work.append(served.at_work)
    served.call("/write")
    assert at_work == [0, 1]


def test_first_request_at_work_wakes_the_master() -> None:
    served = Served(8, plain)
    threads = served.counting.calls._threads
    first = threads.begin("GET /first", get_native_id())
    assert served.woken == 1
    threads.begin("GET /second", get_native_id())
    threads.wait(first)
    threads.go_on(first)
    assert served.woken == 1, "the second one was at work, and is watched"
    for number in (0, 1):
        threads.wait(number)
    threads.go_on(first)
    assert served.woken == 2


def test_beat_is_progress_of_this_thread_or_of_all() -> None:
    served = Served(8, plain)
    threads = served.counting.calls._threads
    other = threading.Thread(target=lambda: threads.begin("GET /other", get_native_id()))
    other.start()
    other.join()
    threads.begin("GET /mine", get_native_id())
    assert served.oldest == "GET /other"
    before = served.row
    beat()
    assert (served.oldest, served.row.busy_since) == ("GET /other", before.busy_since)
    assert served.row.moved > before.moved
    helper = threading.Thread(target=beat)
    helper.start()
    helper.join()
    assert served.row.busy_since == served.row.moved > before.moved
    assert served.activity.requests_by_thread()[get_native_id()] == "GET /mine"
    served.activity.retire()
    beat()  # where no worker is


@pytest.mark.parametrize("threads", [0, 8])
def test_begin_is_progress_if_a_thread_was_free(threads: int) -> None:
    served = Served(threads, plain)
    numbers = served.counting.calls._threads
    numbers.begin("GET /first", get_native_id())
    before = served.row.moved
    numbers.begin("GET /second", get_native_id())
    assert (served.row.moved > before) == (threads > 0)
    assert served.row.busy_since == before


def test_unknown_threads_are_busy_since_an_end() -> None:
    served = Served(0, plain)
    numbers = served.counting.calls._threads
    numbers.begin("GET /first", get_native_id())
    second = numbers.begin("GET /second", get_native_id())
    before = served.row.busy_since
    numbers.end(second, failed=False)
    assert served.row.busy_since > before
    assert served.oldest == "GET /first"


STEPS = st.lists(st.tuples(st.sampled_from(["begin", "end", "wait", "go on"]), st.integers(0, 7)), max_size=30)


@given(steps=STEPS, known=st.booleans())
@example(steps=[("begin", 0), ("wait", 0), ("begin", 0)], known=True)  # The first at work has the label of the latest.
def test_row_says_after_each_step_what_a_plain_model_does(steps: list[tuple[str, int]], known: bool) -> None:
    served = Served(8 if known else 0, plain)
    threads = served.counting.calls._threads
    at_work: dict[int, tuple[str, float]] = {}  # number -> label, last progress; the longest ago first
    waiting: dict[int, str] = {}
    latest = ""
    for step, choice in steps:
        numbers = list(at_work if step == "wait" else waiting if step == "go on" else at_work | waiting)
        number = numbers[choice % len(numbers)] if numbers else -1
        if step == "begin":
            latest = f"GET /{choice % 3}"
            number = threads.begin(latest, 1)
            at_work[number] = latest, served.activity._begun
        elif number < 0:
            continue
        elif step == "wait":
            threads.wait(number)
            waiting[number] = at_work.pop(number)[0]
        elif step == "go on":
            threads.go_on(number)
            at_work[number] = waiting.pop(number), served.row.moved
        else:
            threads.end(number, failed=False)
            at_work.pop(number, None)
            waiting.pop(number, None)
        row = served.row
        assert (row.in_flight, row.waiting) == (len(at_work) + len(waiting), len(waiting))
        label, since = next(iter(at_work.values()), ("", 0.0))
        assert row.busy_since == (since if known or not at_work else row.moved)
        assert (row.oldest or row.label) == (label or latest)
        if not at_work:
            assert row.oldest == ""
