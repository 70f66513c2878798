"""What a second of a daemon is in the lines of statsd, and how they are sent."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from prefork._agent.push.datagrams import Datagrams
from prefork._agent.push.lines import figures, packed
from prefork._agent.push.outage import Outage
from prefork._options.agent.metrics import statsd
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


def test_closed_port_is_reported_and_gets_the_next_second() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        address = server.getsockname()
    to = Datagrams(f"udp://127.0.0.1:{address[1]}")
    sent = [to.send([b"a:1|c"]) for _ in range(2)]
    assert sent == [None, "Connection refused"]
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(address)
        assert to.send([b"a:2|c"]) is None
        assert server.recv(100) == b"a:2|c"
    to.close()


def test_unix_socket_that_is_made_again_is_found(tmp_path: Path) -> None:
    path = tmp_path / "dsd.socket"
    to = Datagrams(f"unix://{path}")
    assert to.send([b"a:1|c"]) == "No such file or directory"
    for failures in ([], ["Connection refused"]):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(str(path))
            sent = [reason for _ in range(2) if (reason := to.send([b"a:2|c"]))]
            assert sent == failures
            assert server.recv(100) == b"a:2|c"
        path.unlink()
    to.close()


def test_server_that_does_not_read_delays_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"{tmp_path}/dsd.socket")
        to = Datagrams(f"unix://{tmp_path}/dsd.socket")
        assert to.send([b"a:1|c"] * 10_000) == "its queue is full"
        to.close()


@pytest.mark.parametrize("given", ["8125", ":8125", "fd://3", "/run/dsd.socket"])
def test_address_without_a_server_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        statsd(given)


def test_address_is_made_full() -> None:
    assert [statsd(each) for each in ("localhost:8125", "unix:/run/dsd.socket")] == [
        "udp://localhost:8125",
        "unix:///run/dsd.socket",
    ]


def test_outage_of_a_datagram_server_is_logged_once() -> None:
    """Every other datagram to a closed port succeeds."""
    logged: list[str] = []
    outage = Outage("statsd", "lost", 3, logged.append)
    for reason in ["refused", None] * 5 + [None] * 5:
        outage.note(reason)
    assert logged == ["statsd gets nothing: refused; lost", "statsd is back after 0 s"]
