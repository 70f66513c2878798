"""`prefork profile`: where a worker spends its time, read from outside; or a sentence that says why not."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import Running, Start, until
from system.runs import PREFORK, Run, write
from system.test_hangs import asked, client_of

from_314 = pytest.mark.skipif(sys.version_info < (3, 14), reason="before Python 3.14 only py-spy takes samples")

APPLICATION = """
def hot():
    while True:
        for number in range(1000):
            pass

async def app(scope, receive, send):
    if scope["path"] == "/hot":
        hot()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"1 hello"})
"""


@contextmanager
def computing(start: Start, *options: str) -> Iterator[Run]:
    """Run a daemon of two workers, one of which computes."""
    write(start, "app.py", APPLICATION)
    usual = ("--server", "uvicorn", "--lifespan", "off", "-w", "2", "--hang-timeout", "600", "--drain-timeout", "1")
    made = Run(start, "app:app", *usual, *options)
    made.ready()
    with asked(made.port, "/hot"):
        yield made
        made.stop()


def profile(start: Start, *arguments: str) -> Running:
    running = start.command(PREFORK, "profile", "-n", str(start.directory / "runtime"), *arguments)
    running.wait()
    return running


@from_314
def test_profile_of_a_pool_shows_the_function_that_computes(start: Start) -> None:
    with computing(start):
        page = start.directory / "out.html"
        done = profile(start, "web", "--seconds", "3", "--output", str(page))
        assert done.wait() == 0
        said = "\n".join(done.out)
        assert "2 workers, 3" in said
        assert "hot (app.py)" in said or f"hot ({start.directory}/app.py)" in said
        assert f"written to {page}" in said
        assert "<!doctype html>" in page.read_text()
        text = Path(start.directory / "out.txt")
        assert profile(start, "web", "--seconds", "2", "--output", str(text)).wait() == 0
        stacks = [line.rpartition(" ") for line in text.read_text().splitlines()]
        assert all(count.isdecimal() for _, _, count in stacks)
        assert any(";hot (" in stack for stack, _, _ in stacks)


@from_314
def test_profile_as_json_is_what_the_client_returns(start: Start) -> None:
    with computing(start):
        done = profile(start, "web/0", "--seconds", "1", "--idle", "--json")
        found = json.loads(done.out[0])
        assert found.keys() == client_of(start).profile("web/0", seconds=1, idle=True).keys()
        assert list(found["workers"]) == ["web/0"]
        assert all(stack.startswith("web/0;") for stack in found["stacks"])


@pytest.mark.skipif(
    sys.version_info >= (3, 14) or shutil.which("py-spy") is not None, reason="there is something that takes samples"
)
def test_profile_that_cannot_be_taken_is_refused_in_a_sentence(start: Start) -> None:
    with computing(start):
        done = profile(start, "web/0", "--seconds", "1")
        assert done.wait() == 1
        assert "py-spy is not there: install it beside the application: pip install py-spy" in done.err[-1]
        assert not list(start.directory.glob("*.html"))


@from_314
@pytest.mark.parametrize("option", [("--profile-slower-than", "500"), ("--profile-on-hang", "--hang-timeout", "2")])
def test_slow_worker_is_profiled_by_itself(start: Start, option: tuple[str, ...]) -> None:
    with computing(start, *option) as daemon:
        slot = daemon.running.expect(
            r"^(web/\d): no progress for .* s .*; taking a profile for .* s; `prefork profile --kept 1` shows it$",
            "err",
        )[1]
        kept = start.directory / "runtime" / "profiles" / "1.json"
        until(lambda: kept.read_bytes().endswith(b"\n"), "the profile is whole")
        assert kept.stat().st_mode & 0o777 == 0o600
        done = profile(start, "--kept", "1", "--json")
        stacks = json.loads(done.out[0])["stacks"]
        assert all(stack.startswith(f"{slot};") for stack in stacks)
        assert any(";hot (" in stack for stack in stacks)
        done = profile(start, "--kept", "2")
        assert done.wait() == 1
        assert done.err[-1].endswith("no profile 2; there are 1")


def test_profile_of_what_has_no_worker_is_refused(start: Start) -> None:
    with computing(start):
        done = profile(start, "job", "--seconds", "1")
        assert done.wait() == 1
        assert done.err[-1].endswith("there is no worker in job, and no pool of that name has one")
        assert profile(start, "web/0", "--seconds", "0.5").wait() == 2
        assert profile(start).wait() == 2
