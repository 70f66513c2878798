"""Workers that hang: noticed in time, for what they are, told with the line where it happened, and replaced."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest

import prefork
from prefork._wire.scoreboard import WATCHING, attach
from support import PATIENCE, Start, gone, until
from system.daemons import HEAD, RUN, Served, alive
from system.runs import Run, write

TIMEOUT = 2.0

ASGI = """
import asyncio, ctypes, os, threading, time

lock = threading.Lock()
lock.acquire()
mutex = ctypes.create_string_buffer(64)
libc = ctypes.PyDLL(None)

async def app(scope, receive, send):
    match scope["path"]:
        case "/spin":
            while True: pass  # here: spin
        case "/sleep":
            time.sleep(1000)  # here: sleep
        case "/gil":
            libc.pthread_mutex_lock(mutex)
            libc.pthread_mutex_lock(mutex)  # here: gil
        case "/lock":
            lock.acquire()  # here: lock
        case "/read":
            os.read(os.pipe()[0], 1)  # here: read
        case "/short":
            time.sleep(TIMEOUT / 2)
        case "/long":
            time.sleep(1.9 * TIMEOUT)
        case "/await":
            await asyncio.sleep(2.5 * TIMEOUT)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
""".replace("TIMEOUT", str(TIMEOUT))


def run(start: Start, *arguments: str, server: str = "uvicorn") -> Run:
    write(start, "app.py", ASGI)
    options = (
        "--server",
        server,
        "--hang-timeout",
        str(TIMEOUT),
        "--lifespan",
        "off",
        "-w",
        "1",
        "--drain-timeout",
        "5",
    )
    made = Run(start, "app:app", *options, *arguments)
    made.ready()
    return made


def client_of(start: Start) -> prefork.Client:
    return prefork.connect(str(start.directory / "runtime"))


@contextmanager
def asked(port: int, path: str) -> Iterator[socket.socket]:
    """A request that waits for its answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        yield client


def line_of(here: str) -> int:
    return next(number for number, line in enumerate(ASGI.splitlines(), 1) if f"# here: {here}" in line)


def told(start: Start, what: str) -> list[dict[str, Any]]:
    return [event for event in client_of(start).events() if event["event"] == what]


def noticed_in_time(event: dict[str, Any]) -> bool:
    """Whether it was within a fifth of the timeout, not counting the time in which it had no processor."""
    print(f"{event['verdict']}: noticed after {event['seconds']:.2f} s, {event['excused']:.2f} of them excused")
    return bool(TIMEOUT <= event["seconds"] - event["excused"] + 0.01 <= 1.2 * TIMEOUT)


@pytest.mark.parametrize(
    ("path", "verdict"),
    [("spin", "blocked loop"), ("sleep", "blocked loop"), ("gil", "GIL held"), ("lock", "deadlock"),
     ("read", "waiting for I/O")],
)  # fmt: skip
def test_a_loop_that_hangs_is_told_with_its_line_and_replaced(start: Start, path: str, verdict: str) -> None:
    hanging = run(start)
    old, _ = hanging.who()
    with asked(hanging.port, f"/{path}"):
        hanging.running.expect(rf"^web/0 \(pid {old}, generation 1\) hangs, for .*: {verdict}: ", "err")
        hanging.running.expect(rf"it was doing: GET /{path}$", "err")
        hanging.running.expect(rf'File ".*app\.py", line {line_of(path)} in app$', "err")
        hanging.running.expect(rf"^web/0 \(pid {old}, generation 1\) killed by us as it hung for .*: {verdict}$", "err")
        new, _ = hanging.who()
    assert new != old
    (event,) = told(start, "hung")
    assert (event["pid"], event["verdict"], event["doing"]) == (old, verdict, f"GET /{path}")
    assert noticed_in_time(event)
    assert hanging.stop() == 0


@pytest.mark.parametrize("server", ["hypercorn", "granian"])
def test_other_servers_hang_no_less(start: Start, server: str) -> None:
    hanging = run(start, server=server)
    old, _ = hanging.who()
    with asked(hanging.port, "/sleep"):
        hanging.running.expect(r"hangs, for .*: blocked loop: ", "err")
        hanging.running.expect(rf'File ".*app\.py", line {line_of("sleep")} in app$', "err")
        hanging.running.expect(r"killed by us as it hung", "err")
    assert gone(old)
    (event,) = told(start, "hung")
    # uvloop beats six times in the timeout, while something is in flight.
    assert event["seconds"] - event["excused"] <= 1.2 * TIMEOUT
    assert hanging.stop() == 0


def test_a_stopped_worker_is_told_of_at_once_and_replaced_when_its_time_is_over(start: Start) -> None:
    stopped = run(start)
    old, _ = stopped.who()
    os.kill(old, signal.SIGSTOP)
    stopped.running.expect(rf"^web/0 \(pid {old}\) has been stopped by signal 19, and replaced if it is not", "err")
    stopped.running.expect(rf"^web/0 \(pid {old}, generation 1\) hangs, for .*: stopped: ", "err")
    assert stopped.who()[0] != old
    (event,) = told(start, "hung")
    assert event["verdict"] == "stopped"
    assert noticed_in_time(event)
    assert stopped.stop() == 0


def test_a_stopped_worker_that_is_continued_in_time_is_left_alone(start: Start) -> None:
    stopped = run(start)
    old, _ = stopped.who()
    os.kill(old, signal.SIGSTOP)
    stopped.running.expect("has been stopped by signal 19", "err")
    os.kill(old, signal.SIGCONT)
    stopped.running.expect(rf"^web/0 \(pid {old}\) has been continued$", "err")
    with asked(stopped.port, "/await") as client:  # It takes longer than the timeout.
        assert str(old).encode() in received(client)
    assert stopped.stop() == 0


def received(client: socket.socket) -> bytes:
    answer = b""
    while data := client.recv(1000):
        answer += data
    return answer


def test_a_request_that_takes_long_on_a_loop_that_turns_is_no_hang(start: Start) -> None:
    healthy = run(start)
    old, _ = healthy.who()
    with asked(healthy.port, "/await") as long:
        for _ in range(5):
            with asked(healthy.port, "/short") as short:  # It blocks the loop, for half of the time that it may.
                assert str(old).encode() in received(short)
        assert str(old).encode() in received(long)
    assert told(start, "hung") == []
    assert healthy.stop() == 0


def busy(master: int, pid: int) -> float:
    """Return for how long a worker's loop has been in one callback."""
    board = attach(master)
    try:
        beat = next(row.beat for row in board.read().rows if row.pid == pid)
        return monotonic() - beat if beat > 0 and board.words[WATCHING] else 0.0
    finally:
        board.close()


def test_time_in_which_the_master_stood_still_is_nobodys_fault(start: Start) -> None:
    healthy = run(start)
    old, _ = healthy.who()
    with asked(healthy.port, "/long") as client:
        until(lambda: busy(healthy.running.pid, old) > 0.1, "it is busy, and watched")
        healthy.running.send(signal.SIGSTOP)
        until(lambda: busy(healthy.running.pid, old) > 1.6 * TIMEOUT, "its time would be over")
        healthy.running.send(signal.SIGCONT)
        healthy.running.expect("the machine, or the master, stood still for", "err")
        assert str(old).encode() in received(client)
    assert told(start, "hung") == []
    assert healthy.stop() == 0


def test_one_that_hangs_may_be_only_reported(start: Start) -> None:
    hanging = run(start, "--hang-policy", "report")
    old, _ = hanging.who()
    with asked(hanging.port, "/sleep"):
        hanging.running.expect(r"hangs, for .*: blocked loop", "err")
    assert alive(old)
    os.kill(old, signal.SIGKILL)
    until(lambda: hanging.who()[0] != old, "its successor")
    assert hanging.stop() == 0


def test_without_a_timeout_nothing_counts_as_hung(start: Start) -> None:
    hanging = run(start, "--hang-timeout", "0")
    old, _ = hanging.who()
    with asked(hanging.port, "/await") as long:
        os.kill(old, signal.SIGSTOP)
        hanging.running.expect(rf"^web/0 \(pid {old}\) has been stopped by signal 19$", "err")
        os.kill(old, signal.SIGCONT)
        assert str(old).encode() in received(long)
    assert told(start, "hung") == []
    assert hanging.stop() == 0


THREADS = (
    HEAD
    + """
import threading
lock = threading.Lock()
lock.acquire()
daemon = prefork.Daemon("threads", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0)]

def work(connection):
    with connection:
        what = connection.recv(100).decode()
        with worker.request(what):
            if what == "lock":
                lock.acquire()  # here: lock
            if what == "spin":
                while True:
                    pass
            if what == "long":
                for _ in range(30):
                    time.sleep(0.1)
                    worker.activity.beat()
        connection.sendall(str(os.getpid()).encode())

@daemon.worker(Web, hang_timeout=1.5)
def web(handle):
    global worker
    worker = handle
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        threading.Thread(target=work, args=[connection], daemon=True).start()
"""
    + RUN
)


def said(port: int, what: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.sendall(what.encode())
    return client


@pytest.mark.parametrize(("what", "verdict"), [("lock", "deadlock"), ("spin", "computing")])
def test_threads_that_hang_are_seen_from_the_request_that_does_not_end(start: Start, what: str, verdict: str) -> None:
    threads = Served(start, "threads", THREADS).launch()
    old = threads.ready("web/0")["web/0"]
    with said(threads.port, what):
        threads.running.expect(rf"^web/0 \(pid {old}, generation 1\) hangs, for .*: {verdict}: ", "err")
        threads.running.expect(rf"it was doing: {what}$", "err")
        threads.running.expect(r'File ".*program\.py", line \d+ in work$', "err")
        threads.ready("web/0")
    assert threads.stop() == 0


def test_work_in_a_thread_that_says_that_it_gets_on_is_no_hang(start: Start) -> None:
    threads = Served(start, "threads", THREADS).launch()
    old = threads.ready("web/0")["web/0"]
    with said(threads.port, "long") as client:
        assert client.recv(100) == str(old).encode()
    assert not [line for line in threads.running.err if re.search("hangs", line)]
    assert threads.stop() == 0
