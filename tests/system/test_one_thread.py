"""`--threads 1`: WSGI requests in the main thread, for applications that need it."""

from __future__ import annotations

import signal

import pytest

from support import Start
from system.runs import Run, write
from system.test_hangs import asked, received

SYNC = """
import os, signal, sqlite3, threading, time

database = sqlite3.connect(":memory:")  # Python lets no other thread use it.

class Late(Exception): pass

def late(*_): raise Late

def sleep():
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        time.sleep(1000)
    except Late:
        return "alarm"

def app(environ, start_response):
    match environ["PATH_INFO"]:
        case "/":
            main = threading.current_thread() is threading.main_thread()
            text = f"{database.execute('select 7').fetchone()[0]} {sleep()} {main}"
        case "/raises":
            raise ValueError("of the application")
        case "/exits":
            raise SystemExit(3)
        case "/held":
            os.write(1, b"held\\n")
            while not os.path.exists("release"): time.sleep(0.01)
            text = "released"
        case "/pieces":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return (str(threading.current_thread() is threading.main_thread()).encode() for _ in "12")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
"""


@pytest.mark.parametrize("server", ["granian", "waitress"])
def test_one_thread_is_the_main_thread(start: Start, server: str) -> None:
    write(start, "app.py", SYNC)
    sync = Run(start, "app:app", "--server", server, "--threads", "1", "-w", "1")
    sync.ready()
    assert answer(sync, "/") == b"200 7 alarm True"
    for path in "/raises", "/exits":
        assert answer(sync, path).startswith(b"500")
    assert answer(sync, "/pieces") == b"200 TrueTrue"
    with asked(sync.port, "/held") as client, asked(sync.port, "/") as next_one:
        sync.running.expect("^held$")
        sync.running.send(signal.SIGTERM)
        (start.directory / "release").touch()
        assert received(client).endswith(b"released")
        assert received(next_one).endswith(b"7 alarm True")
        assert sync.running.wait() == 0


def answer(run: Run, path: str) -> bytes:
    """Return the status and the body."""
    with asked(run.port, path) as client:
        head, _, body = received(client).partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        body = b"".join(body.split(b"\r\n")[1::2])
    return head.split(b" ", 2)[1] + b" " + body
