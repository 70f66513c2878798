"""Workers that hang: noticed in time, reported with the verdict and the line where they hang, and replaced."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

import prefork
from prefork._wire.scoreboard import WATCHING
from prefork.client import Event
from scoreboards import attach
from support import PATIENCE, Start, gone, until
from system.daemons import HEAD, RUN, Served, alive
from system.runs import Run, write

TIMEOUT = 2.0
VERDICTS = {
    "spin": "blocked_loop",
    "sleep": "blocked_loop",
    "gil": "gil_held",
    "lock": "deadlock",
    "read": "waiting_for_io",
}

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
    """Send a request; the answer is still to come."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        yield client


def line_of(here: str) -> int:
    return next(number for number, line in enumerate(ASGI.splitlines(), 1) if f"# here: {here}" in line)


def events_of(start: Start, what: str) -> list[Event]:
    return [event for event in client_of(start).events() if event["event"] == what]


def noticed_in_time(event: Event) -> bool:
    """Whether the hang was noticed within a fifth of the timeout, not counting time starved of CPU."""
    print(f"{event['verdict']}: noticed after {event['seconds']:.2f} s, {event['excused']:.2f} of them excused")
    return bool(TIMEOUT <= event["seconds"] - event["excused"] + 0.01 <= 1.2 * TIMEOUT)


def test_hung_loop_is_reported_with_its_line_and_replaced(start: Start) -> None:
    hanging = run(start)
    old, _ = hanging.who()
    for path, verdict in VERDICTS.items():
        with asked(hanging.port, f"/{path}"):
            hanging.running.expect(rf"^web/0: hung for .* s \(pid {old}, generation 1.*\): {verdict}: ", "err")
            hanging.running.expect(rf"request: GET /{path}$", "err")
            hanging.running.expect(rf'File ".*app\.py", line {line_of(path)} in app$', "err")
            hanging.running.expect(rf"^web/0: killed by the master: hung for .*: {verdict} .*; restarting$", "err")
            new, _ = hanging.who()
        assert new != old
        (event,) = (event for event in events_of(start, "hung") if event["pid"] == old)
        assert (event["verdict"], event["doing"]) == (verdict, f"GET /{path}")
        assert noticed_in_time(event)
        old = new
    assert hanging.stop() == 0


LIBRARY = """
import ctypes

libc = ctypes.CDLL(None)
thread = ctypes.c_ulong()
assert libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None) == 0
mutex = ctypes.create_string_buffer(64)

async def app(scope, receive, send):
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)  # for what the thread would have done, which no worker has
"""


def test_lock_of_a_library_whose_threads_are_lost(start: Start) -> None:
    write(start, "library.py", LIBRARY)
    options = ("--lifespan", "off", "-w", "1", "--hang-timeout", str(TIMEOUT))
    hanging = Run(start, "library:app", "--server", "uvicorn", *options)
    hanging.ready()
    with asked(hanging.port, "/"):
        facts = "the main thread waits for a lock inside a C library; the mold had 1 native thread when it forked"
        hanging.running.expect(rf"^web/0: hung for .* s .*: library_lock: {facts}; killing it$", "err")
        hanging.running.expect("^web/0: killed by the master: hung for .*: library_lock", "err")
    assert hanging.stop() == 0


@pytest.mark.parametrize("server", ["hypercorn", "granian"])
def test_hung_loop_of_other_servers_is_replaced(start: Start, server: str) -> None:
    hanging = run(start, server=server)
    old, _ = hanging.who()
    with asked(hanging.port, "/sleep"):
        hanging.running.expect(r"hung for .*: blocked_loop: ", "err")
        hanging.running.expect(rf'File ".*app\.py", line {line_of("sleep")} in app$', "err")
        hanging.running.expect(r"killed by .* hung for", "err")
    assert gone(old)
    (event,) = events_of(start, "hung")
    # uvloop beats six times in the timeout, while something is in flight.
    assert event["seconds"] - event["excused"] <= 1.2 * TIMEOUT
    assert hanging.stop() == 0


def test_stopped_worker_is_kept_if_continued_or_replaced(start: Start) -> None:
    stopped = run(start)
    old, _ = stopped.who()
    os.kill(old, signal.SIGSTOP)
    stopped.running.expect("stopped by signal 19", "err")
    os.kill(old, signal.SIGCONT)
    stopped.running.expect(rf"^web/0: continued \(pid {old}\)$", "err")
    with asked(stopped.port, "/await") as client:  # Longer than the timeout.
        assert str(old).encode() in received(client)
    os.kill(old, signal.SIGSTOP)
    stopped.running.expect(rf"^web/0: stopped by signal 19 \(pid {old}\); killing it in 2 s unless", "err")
    stopped.running.expect(rf"^web/0: hung for .* s \(pid {old}, generation 1.*\): stopped: ", "err")
    assert stopped.who()[0] != old
    (event,) = events_of(start, "hung")
    assert event["verdict"] == "stopped"
    assert noticed_in_time(event)
    assert stopped.stop() == 0


def received(client: socket.socket) -> bytes:
    answer = b""
    while data := client.recv(1000):
        answer += data
    return answer


def test_long_request_on_a_live_loop_is_no_hang(start: Start) -> None:
    healthy = run(start)
    old, _ = healthy.who()
    with asked(healthy.port, "/await") as long:
        for _ in range(5):
            with asked(healthy.port, "/short") as short:  # Blocks the loop for half of the timeout.
                assert str(old).encode() in received(short)
        assert str(old).encode() in received(long)
    assert events_of(start, "hung") == []
    assert healthy.stop() == 0


def busy(master: int, pid: int) -> float:
    """Return for how long a worker's loop has been in one callback."""
    board = attach(master)
    try:
        beat = next(row.beat for row in board.read().rows if row.pid == pid)
        return monotonic() - beat if beat > 0 and board.words[WATCHING] else 0.0
    finally:
        board.close()


def test_time_while_the_master_is_suspended_does_not_count(start: Start) -> None:
    healthy = run(start)
    old, _ = healthy.who()
    with asked(healthy.port, "/long") as client:
        until(lambda: busy(healthy.running.pid, old) > 0.1, "the worker is busy and checked")
        healthy.running.send(signal.SIGSTOP)
        until(lambda: busy(healthy.running.pid, old) > 1.6 * TIMEOUT, "the timeout has passed")
        healthy.running.send(signal.SIGCONT)
        healthy.running.expect("master: suspended for", "err")
        assert str(old).encode() in received(client)
    assert events_of(start, "hung") == []
    assert healthy.stop() == 0


def test_policy_report_keeps_the_worker(start: Start) -> None:
    hanging = run(start, "--hang-policy", "report")
    old, _ = hanging.who()
    with asked(hanging.port, "/sleep"):
        hanging.running.expect(r"hung for .*: blocked_loop: .*; not killed", "err")
    assert alive(old)
    os.kill(old, signal.SIGKILL)
    until(lambda: hanging.who()[0] != old, "its successor")
    assert hanging.stop() == 0


def test_timeout_0_disables_the_check(start: Start) -> None:
    hanging = run(start, "--hang-timeout", "0")
    old, _ = hanging.who()
    with asked(hanging.port, "/await") as long:
        os.kill(old, signal.SIGSTOP)
        hanging.running.expect(rf"^web/0: stopped by signal 19 \(pid {old}\)$", "err")
        os.kill(old, signal.SIGCONT)
        assert str(old).encode() in received(long)
    assert events_of(start, "hung") == []
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


def send(port: int, what: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.sendall(what.encode())
    return client


def test_threads_hang_by_the_oldest_request_unless_they_beat(start: Start) -> None:
    threads = Served(start, "threads", THREADS).launch()
    old = threads.ready("web/0")["web/0"]
    with send(threads.port, "long") as client:
        assert client.recv(100) == str(old).encode()
    assert not [line for line in threads.running.err if re.search(": hung for", line)]
    for what, verdict in ("lock", "deadlock"), ("spin", "computing"):
        with send(threads.port, what):
            threads.running.expect(rf"^web/0: hung for .* s \(pid {old}, generation 1.*\): {verdict}: ", "err")
            threads.running.expect(rf"request: {what}$", "err")
            threads.running.expect(r'File ".*program\.py", line \d+ in work$', "err")
            old = threads.ready("web/0")["web/0"]
    assert threads.stop() == 0
