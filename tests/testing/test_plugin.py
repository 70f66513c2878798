"""The plugin in a run of pytest of its own: fixtures, reports, the debugger, coverage, parallel runs."""

from __future__ import annotations

import os
import pty
import select
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from support import PATIENCE, Running, Start

SHOP = """
import os

def price(count):
    total = 3 * count
    return total

def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/break":
        total = 41
        breakpoint()
        total += 1
    return [str(price(2)).encode()]
"""

GET = """
import urllib.request
import pytest, shop

def get(server, path="/"):
    with urllib.request.urlopen(server.url + path, timeout=30) as answer:
        return answer.read().decode()
"""


ENVIRONMENT = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
"""Whatever the environment has installed: the plugin is named on the command line."""
PYTEST = ("-m", "pytest", "-v", "-p", "prefork.testing.plugin")


def write(start: Start, test: str) -> None:
    """Write an application and this test of it."""
    (start.directory / "shop.py").write_text(SHOP)
    (start.directory / "test_shop.py").write_text(GET + test)
    (start.directory / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")


def run(start: Start, test: str, *arguments: str, **options: Any) -> Running:
    """Run pytest in a folder with an application and this test."""
    write(start, test)
    return start.command(sys.executable, *PYTEST, *arguments, env=ENVIRONMENT, **options)


def finish(running: Running, tests: int) -> int:
    """Wait for each test of a run, so that each has its time, and then for its end; return its exit status."""
    for _ in range(tests):
        running.expect(r"(PASSED|FAILED) .*\[ *\d+%\]|\[ *\d+%\] (PASSED|FAILED)")
    return running.wait()


MANY = """
@pytest.fixture(scope="module")
def shared(prefork_server_factory):
    return prefork_server_factory("shop:app", workers=1)

kept = []

def test_own(prefork_server, shared):
    kept.append(prefork_server(shop.app, workers=1))
    assert get(kept[0]) == get(shared) == "6"

def test_ended(shared):
    assert kept[0].log.rstrip().endswith("prefork: stopped")
    assert get(shared) == "6"

def test_breakpoint(shared):
    assert get(shared, "/break") == "6"
    assert "shop.py:12: passed over; run pytest --pdb" in shared.log

def test_fails(shared):
    assert get(shared) == "7"

def test_import_fails(prefork_server, tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0")
    prefork_server(f"{tmp_path}/broken.py:app")
"""


def test_fixtures_report_what_happens(start: Start) -> None:
    running = run(start, MANY)
    assert finish(running, 5) == 1
    out = "\n".join(running.out)
    assert "2 failed, 3 passed" in out, out
    log = out.partition("- log of the prefork server http://127.0.0.1:")[2]
    assert "prefork: test-" in log, "the log of the server in the report"
    assert "ZeroDivisionError: division by zero" in out, "the application's traceback as the failure"
    assert "live.py" not in out, "a frame of the kit"


def test_breakpoint_in_a_worker_stops_at_the_terminal(start: Start) -> None:
    master, terminal = pty.openpty()
    test = '\ndef test_stops(prefork_server):\n    assert get(prefork_server("shop:app", workers=1), "/break") == "6"\n'
    running = run(start, test, "--pdb", stdin=terminal)
    try:
        said = until_prompt(master)
        assert "-> breakpoint()" in said or "-> total += 1" in said  # From Python 3.13 on it is the line of the call.
        os.write(master, b"p total\n")
        assert "41" in until_prompt(master)
        os.write(master, b"c\n")
        assert running.wait() == 0, running.out
    finally:
        os.close(master)
        os.close(terminal)


def until_prompt(terminal: int) -> str:
    said, waiting = b"", select.poll()
    waiting.register(terminal, select.POLLIN)
    while not said.endswith(b") "):
        assert waiting.poll(PATIENCE * 1000), said
        said += os.read(terminal, 1000)
    return said.decode()


@pytest.mark.skipif(find_spec("coverage") is None, reason="needs coverage")
def test_coverage_has_what_workers_run(start: Start) -> None:
    (start.directory / ".coveragerc").write_text("[run]\nparallel = true\npatch = subprocess\nsource = .\n")
    test = '\ndef test_it(prefork_server):\n    assert get(prefork_server("shop:app", workers=1)) == "6"\n'
    write(start, test)
    coverage = [sys.executable, "-m", "coverage"]
    assert finish(start.command(*coverage, "run", *PYTEST, env=ENVIRONMENT), 1) == 0
    assert start.command(*coverage, "combine").wait() == 0
    report = start.command(*coverage, "report", "-m", "--include=shop.py")
    assert report.wait() == 0
    assert report.out[2].split()[-2:] == ["73%", "11-13"], report.out


def test_parallel_runs_have_ports_of_their_own(start: Start) -> None:
    test = """
@pytest.mark.parametrize("number", range(2))
def test_it(prefork_server, number):
    assert get(prefork_server("shop:app", workers=1)) == "6"
"""
    assert finish(run(start, test, "-p", "xdist", "-n", "2"), 2) == 0


def test_plugin_is_cheap_until_it_is_used(start: Start) -> None:
    test = """
import sys

def test_it():
    heavy = [name for name in sys.modules if name.startswith("prefork.testing")]
    assert heavy == ["prefork.testing", "prefork.testing.plugin"]
    assert "prefork._core" not in sys.modules and "prefork.client" not in sys.modules
"""
    assert finish(run(start, test), 1) == 0


def test_plugin_is_declared() -> None:
    text = (Path(__file__).parent.parent.parent / "pyproject.toml").read_text()
    assert '[project.entry-points.pytest11]\nprefork = "prefork.testing.plugin"' in text
