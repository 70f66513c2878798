"""The command line and the environment of a server in a test."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from .._errors import UsageError
from .._launch.served.options import checked
from .._options.option import PREFIX
from .._options.table import BY_NAME, PLATFORM

HOOK = "prefork.testing.breakpoints.stop"
"""What `breakpoint()` calls in molds and workers."""
TERMINAL = "PYTEST_TERMINAL"
"""The variable with the terminal of `pytest --pdb`, for breakpoints."""

_OURS = {
    "target": "it is the first argument",
    "bind": "the test binds the listeners and passes them on: name them by listeners={'http': 'tcp'}",
    "log_file": "the log is in server.log",
}
"""Options that a test cannot give, and why."""

_OF_MANAGERS = {"RUNTIME_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"}
"""Variables of a service manager: the tests may run below one."""

WORKERS = 2
"""Workers of an application, unless the test gives another number."""


def options(call: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `prefork run` that a test has given, checked. Raises UsageError; `call` names the place."""
    for name in given:
        if name in _OURS:
            raise UsageError(f"{call}: the option {name} cannot be given: {_OURS[name]}")
    return checked(call, given)


def command(subcommand: str, target: str, options: Mapping[str, Any]) -> list[str]:
    """Return the command line of `prefork run` or `prefork check` with these options."""
    flags = [flag for name, value in options.items() for flag in _flags(name, value)]
    return [sys.executable, "-m", "prefork", subcommand, *flags, "--", target]


def _flags(name: str, value: Any) -> Iterator[str]:
    flag = BY_NAME[name].flag
    if isinstance(value, bool):
        yield flag if value else f"--no-{flag[2:]}"
        return
    for each in value if isinstance(value, list) else [value]:
        yield f"{flag}={each:o}" if name == "umask" else f"{flag}={each}"


def environment(added: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the daemon: this process's, without options of `prefork run` and of a service manager.

    A test's server has the options that the test gives, wherever the tests run.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((PREFIX, "LISTEN_")) and name not in PLATFORM and name not in _OF_MANAGERS
    }
    # The variable of platforms counts for an application, and not for a Daemon, whose code decides.
    return {"WEB_CONCURRENCY": str(WORKERS), "PYTHONBREAKPOINT": HOOK, **kept, **added}
