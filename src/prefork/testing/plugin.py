"""The pytest plugin: fixtures that start servers, and their logs in the report of a test that fails.

pytest loads it in every run, so that it imports nothing else of the kit until a fixture is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, Unpack

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._launch.served.run import RunKeywords
    from .live import Kind
    from .server import Server

_TERMINAL = os.ttyname(0) if os.isatty(0) else None
"""The terminal of pytest. Asked for now, before pytest replaces standard input."""
_SERVERS = pytest.StashKey[list["Server"]]()
"""Of a session: the servers that run."""


class StartServer(Protocol):
    """What the fixtures return: `live_server`, with its end at the end of the test, or of the session."""

    def __call__(
        self,
        target: object,
        *,
        listeners: Mapping[str, Kind] | None = None,
        timeout: float = 30.0,
        **given: Unpack[RunKeywords],
    ) -> Server:
        """Start a server; see `prefork.testing.live_server`."""


@pytest.fixture
def prefork_server(request: pytest.FixtureRequest) -> Iterator[StartServer]:
    """Return a function like `prefork.testing.live_server`: it returns the server, which ends with the test."""
    with ExitStack() as stack:
        yield _starter(request, stack)


@pytest.fixture(scope="session")
def prefork_server_factory(request: pytest.FixtureRequest) -> Iterator[StartServer]:
    """Return the same function, for fixtures of another scope: its servers end with the session."""
    with ExitStack() as stack:
        yield _starter(request, stack)


def pytest_configure(config: pytest.Config) -> None:
    """With --pdb, let `breakpoint()` in molds and workers use the terminal (see `breakpoints`)."""
    if config.getoption("usepdb", False) and _TERMINAL is not None:
        os.environ["PYTEST_TERMINAL"] = _TERMINAL  # `command.TERMINAL`, which is not imported for each run.


def _starter(request: pytest.FixtureRequest, stack: ExitStack) -> Any:
    from .failures import StartFailedError
    from .live import live_server

    servers = request.session.stash.setdefault(_SERVERS, [])

    def start(target: object, **given: Any) -> Server:
        __tracebackhide__ = True
        try:
            server = stack.enter_context(live_server(target, **given))
        except StartFailedError as error:
            # The application's own traceback is the failure; that of the kit says nothing.
            pytest.fail(str(error), pytrace=False)
        servers.append(server)
        stack.callback(servers.remove, server)
        return server

    return start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of the log of each server that runs to the report of a test that fails."""
    report = yield
    if report.failed:
        for server in item.session.stash.get(_SERVERS, ()):
            report.sections.append((f"log of the prefork server {server.url}", server.log_end()))
    return report
