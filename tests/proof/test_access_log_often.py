"""The access log has as many whole lines as requests were answered: 8 workers, reloads and rotations under load."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from load import Load
from support import Start, until
from system.runs import Run, write

WORKERS, RELOADS, ROTATIONS, SHARE = 8, 5, 2, 15_000
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


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("server", "target"), [("uvicorn", "asgi"), ("granian", "asgi"), ("granian", "wsgi")])
def test_as_many_whole_lines_as_answered_requests(start: Start, server: str, target: str) -> None:
    write(start, "program.py", APPLICATION)
    options = ("--access-log", "access.log", "--access-log-format", "%(r)s|%(s)s|%(b)s|%(worker)s")
    run = Run(start, f"program:{target}", "--server", server, "-w", str(WORKERS), *options)
    run.ready()
    log = start.directory / "access.log"
    parts = [start.directory / f"access.log.{number}" for number in range(ROTATIONS)]
    with Load(run.port, b"done", path=TARGET, keep=True, pause=0) as load:
        for number in range(RELOADS):
            load.more(SHARE)
            run.running.send(signal.SIGHUP)
            run.running.expect(rf"reload: done \(generation {number + 2}\)", "err")
            if number < ROTATIONS:
                log.rename(parts[number])
                run.running.send(signal.SIGUSR1)
                until(log.exists, "a worker has opened the file again")
        load.more(2 * SHARE)
    assert run.stop() == 0
    lines = Counter(line for part in [*parts, log] for line in part.read_text().splitlines())
    print(
        f"{server} {target}: {load.answered} answered, {lines.total()} lines, {[part.stat().st_size for part in parts]}"
    )
    assert not load.failures
    assert lines.total() == load.answered
    assert set(lines) <= {f"GET {TARGET} HTTP/1.1|200|4|web/{number}" for number in range(WORKERS)}
