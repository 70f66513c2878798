"""The access log has as many whole lines as requests were answered: 8 workers, reloads and rotations under load.

A million requests on the default server, which is 8 GB of log for some minutes, and a tenth of that on the others.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from load import Load
from support import Start, until
from system.runs import Run, write

WORKERS, RELOADS, ROTATIONS = 8, 5, 2
MILLION, TENTH, AT_ONCE = 1_000_000, 100_000, 5_000
TARGET = "/long?" + "x" * 8000

APPLICATION = """
async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]
"""


def lines_of(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        with path.open() as log:
            yield from log


def part(load: Load, requests: int) -> None:
    """Wait for many requests in steps, each of which has to be done in time."""
    for _ in range(0, requests, AT_ONCE):
        load.more(AT_ONCE)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("server", "target", "requests"),
    [("uvicorn", "asgi", MILLION), ("granian", "asgi", TENTH), ("granian", "wsgi", TENTH)],
)
def test_as_many_whole_lines_as_answered_requests(start: Start, server: str, target: str, requests: int) -> None:
    write(start, "program.py", APPLICATION)
    options = ("--access-log", "access.log", "--access-log-format", "%(r)s|%(s)s|%(b)s|%(worker)s")
    run = Run(start, f"program:{target}", "--server", server, "-w", str(WORKERS), *options)
    run.ready()
    log = start.directory / "access.log"
    parts = [start.directory / f"access.log.{number}" for number in range(ROTATIONS)]
    with Load(run.port, b"done", path=TARGET, keep=True, pause=0) as load:
        for number in range(RELOADS):
            part(load, requests // (RELOADS + 1))
            run.running.send(signal.SIGHUP)
            run.running.expect(rf"reload: done \(generation {number + 2}\)", "err")
            if number < ROTATIONS:
                log.rename(parts[number])
                run.running.send(signal.SIGUSR1)
                until(log.exists, "a worker has opened the file again")
        part(load, requests - load.ended)
    assert run.stop() == 0
    lines = Counter(lines_of([*parts, log]))
    sizes = [path.stat().st_size for path in (*parts, log)]
    for path in (*parts, log):
        path.unlink()
    print(f"{server} {target}: {load.answered} answered, {lines.total()} lines, {sizes} bytes")
    assert not load.failures
    assert load.answered >= requests
    assert lines.total() == load.answered
    assert set(lines) <= {f"GET {TARGET} HTTP/1.1|200|4|web/{number}\n" for number in range(WORKERS)}
