"""What the tiers are, and fixtures for tests with real processes."""

from __future__ import annotations

import compileall
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import prefork
from support import Spied, Start

HERE = Path(__file__).parent
WITH_PROCESSES = {"adapters", "examples", "proof", "security", "system", "testing"}
"""Folders of which every test starts processes; in others a module says so: `pytestmark = pytest.mark.processes`."""
ALSO_WITH_PROCESSES = {"cli", "linux"}
"""Those and `WITH_PROCESSES` are the folders in which `make tests` looks for tests that start processes."""
STARTERS = {"start", "module_start", "open_start", "master"}
"""Fixtures that start some."""
SERVER = re.compile(r"^tests/adapters/.*\[.*?(\w+-(?:asgi|wsgi|streams))\b")
"""The server in the name of a test of adapters."""
LONGEST = {"test_idle.py", "test_hangs.py", "test_hangs_wsgi.py"}
"""Files that wait for most of a minute, so they begin first."""
MOST_PID = 2**22
"""The largest number of a process (PID_MAX_LIMIT of <linux/threads.h>)."""


settings.register_profile("default", deadline=None)  # A busy machine is no failure.
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    """Have compiled what hundreds of processes import, and have those write nothing.

    A program that a test writes twice in a second, each time as long, would else be taken for its first version.
    """
    sys.dont_write_bytecode = False  # pytest's own, for what it makes of the tests.
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(prefork.__file__).parent, quiet=2)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        starts = STARTERS & set(getattr(item, "fixturenames", ()))
        if starts or item.path.relative_to(HERE).parts[0] in WITH_PROCESSES:
            item.add_marker("processes")
    check_places(items)
    # Where files run in parallel, those whose tests wait come first, and the quick ones fill the end.
    waiting = {item.path for item in items if item.get_closest_marker("processes")}
    items.sort(key=lambda item: (item.path not in waiting, item.path.name not in LONGEST))


def check_places(items: list[pytest.Item]) -> None:
    """Refuse a test that starts processes where `make tests` does not look for it."""
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if item.get_closest_marker("processes") and folder not in WITH_PROCESSES | ALSO_WITH_PROCESSES:
            raise pytest.UsageError(f"{item.nodeid} starts processes: move it to tests/system, or no make runs it")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run the tests of a file in one process, but those of adapters with others of the same server.

    They share its daemons, of which else each process would start its own.
    """
    from xdist.scheduler import LoadFileScheduling

    if config.getvalue("dist") != "loadfile":
        return None
    scheduler = LoadFileScheduling(config, log)
    of_file = scheduler._split_scope
    scheduler._split_scope = lambda nodeid: server[1] if (server := SERVER.match(nodeid)) else of_file(nodeid)
    return scheduler


_signals_none = False
"""Whether the test that runs starts no process: the pids that it makes up may be those of any process."""


def _check_signal(event: str, arguments: tuple[Any, ...]) -> None:
    if _signals_none and event in ("os.kill", "os.killpg") and os.getpid() != arguments[0] <= MOST_PID:
        raise RuntimeError(f"a test that starts no process sends signal {arguments[1]} to process {arguments[0]}")


sys.addaudithook(_check_signal)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    global _signals_none
    _signals_none = item.get_closest_marker("processes") is None
    try:
        return (yield)
    finally:
        _signals_none = False


def pytest_sessionstart() -> None:
    """Hear signals, and let what is started hear them, as at a terminal.

    A shell has what it runs in the background ignore INT, and nohup HUP: a program that is started so goes on ignoring.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start programs; when the test is over they are ended, and whatever they leave behind fails the test."""
    starter = Start(tmp_path)
    yield starter
    starter.close()


@pytest.fixture(scope="module")
def module_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start programs that all tests of a module share: the files of tests are what runs in parallel."""
    starter = Start(tmp_path_factory.mktemp("module"))
    yield starter
    starter.close()


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Make a directory where other users may come: pytest closes its own ones whenever it starts."""
    with tempfile.TemporaryDirectory(prefix="test-of-prefork-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture
def open_start(open_path: Path) -> Iterator[Start]:
    """Start programs where other users may come."""
    starter = Start(open_path)
    yield starter
    starter.close()


@pytest.fixture
def spied(tmp_path: Path) -> Spied:
    """Note what programs started in `spied.environment` do to their children."""
    return Spied(tmp_path)
