"""Workers whose stacks are read from outside: they hold the GIL, or their main thread is inside a C library."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

import prefork
from support import Start
from system.other_user import NOBODY
from system.other_user import anywhere as anywhere
from system.runs import Run, write
from system.test_hangs import TIMEOUT, asked, client_of, events_of

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="before Python 3.14 no stacks can be read from outside"
)

VERDICTS = {"/regex": "blocked_loop", "/held": "gil_held", "/released": "library_lock"}
"""A regular expression looks for signals now and then, in the main thread: it answers."""

APPLICATION = """
import asyncio, ctypes, re

mutex = ctypes.create_string_buffer(64)
held, released = ctypes.PyDLL(None), ctypes.CDLL(None)

async def waiter(other):
    await other

async def app(scope, receive, send):
    match scope["path"]:
        case "/regex":
            re.match("(a+)+$", "a" * 60 + "b")  # here: /regex
        case "/held":
            held.pthread_mutex_lock(mutex)
            held.pthread_mutex_lock(mutex)  # here: /held
        case "/released":
            mine = asyncio.current_task()
            asyncio.create_task(waiter(mine), name="the waiter")
            await asyncio.sleep(0)
            released.pthread_mutex_lock(mutex)
            released.pthread_mutex_lock(mutex)  # here: /released
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"1 hello"})
"""


WSGI = """
import re

def app(environ, start_response):
    if environ["PATH_INFO"] == "/regex":
        re.match("(a+)+$", "a" * 60 + "b")  # here
    start_response("200 OK", [])
    return [b"1 hello"]
"""


def line_of(path: str) -> int:
    return next(number for number, line in enumerate(APPLICATION.splitlines(), 1) if f"# here: {path}" in line)


def run(start: Start, *arguments: str, through: tuple[str, ...] = ()) -> Run:
    """Start a daemon that reports hung workers and leaves them alone: no signal makes them write their stacks."""
    write(start, "app.py", APPLICATION)
    options = (
        "--server",
        "uvicorn",
        "--lifespan",
        "off",
        "-w",
        "1",
        "--hang-timeout",
        str(TIMEOUT),
        "--drain-timeout",
        "1",
    )
    made = Run(start, "app:app", *options, "--hang-policy", "report", *arguments, through=through)
    made.ready()
    return made


def reported(start: Start, hanging: Run, path: str) -> str:
    """Have a worker hang; return its report, which has the line of the application."""
    with asked(hanging.port, path):
        hanging.running.expect(rf"^web/0: hung for .*: {VERDICTS[path]}: .*; not killed", "err")
        hanging.running.expect(rf'File ".*app\.py", line {line_of(path)} in app$', "err")
        (event,) = events_of(start, "hung")
        assert TIMEOUT <= event["seconds"] - event["excused"] + 0.01 <= 1.25 * TIMEOUT
        shown = client_of(start).stacks("web/0")[0]
        assert shown["verdict"] == VERDICTS[path]
        assert re.search(rf'app\.py", line {line_of(path)} in app$', shown["text"], re.MULTILINE)
        hanging.running.stop()
    return str(event["report"])


@pytest.mark.parametrize("path", VERDICTS)
def test_worker_inside_c_is_reported_with_its_line(start: Start, path: str) -> None:
    hanging = run(start)
    report = reported(start, hanging, path)
    assert ("which holds the GIL" in report) == (VERDICTS[path] == "gil_held")
    if path == "/released":
        assert re.search(r"^ *Task-\d+ runs at .*; awaited by the waiter$", report, re.MULTILINE)


def test_thread_that_holds_the_gil_is_named(start: Start) -> None:
    write(start, "app.py", WSGI)
    options = (
        "--server",
        "waitress",
        "-w",
        "1",
        "--hang-timeout",
        str(TIMEOUT),
        "--hang-policy",
        "report",
        "--drain-timeout",
        "1",
    )
    hanging = Run(start, "app:app", *options)
    hanging.ready()
    with asked(hanging.port, "/regex"):
        said = hanging.running.expect(r"^web/0: (hung|a request) .*: (\w+: .*);", "err")[2]
        holder = said.partition(": thread ")[2].partition(" ")[0]
        assert said.startswith("gil_held"), said
        assert holder, said
        hanging.running.expect(rf"Thread {holder}, which holds the GIL \(read from outside, ", "err")
        hanging.running.expect(r'File ".*app\.py", line 6 in app$', "err")
        hanging.running.stop()


def without_ptrace() -> tuple[str, ...]:
    if os.geteuid() != 0:
        pytest.skip("only root has the right to take away")
    return ("setpriv", "--inh-caps=-sys_ptrace", "--bounding-set=-sys_ptrace")


def test_root_without_cap_sys_ptrace_reads_its_workers(start: Start) -> None:
    reported(start, run(start, through=without_ptrace()), "/held")


@pytest.mark.parametrize("lacking", [False, True])
def test_reader_has_the_user_of_the_workers(anywhere: Start, lacking: bool) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run workers as another user")
    readable(Path(sys.executable), Path(prefork.__file__))
    hanging = run(anywhere, "--user", str(NOBODY), through=without_ptrace() if lacking else ())
    reported(anywhere, hanging, "/held")


def readable(*paths: Path) -> None:
    for path in paths:
        for folder in path.parents:
            if not folder.stat().st_mode & 0o001:
                pytest.skip(f"another user cannot enter {folder}")
