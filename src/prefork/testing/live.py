"""`live_server()`: a server for the time of a test."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, Unpack

from .._errors import UsageError
from .._launch.served.run import RunKeywords
from .command import TERMINAL, command, options
from .failures import EndedError
from .process import Process, fresh_name
from .server import Server
from .target import listeners_of, search_path, target_of

Kind = Literal["tcp", "udp", "unix"]

_CALL = "live_server()"
_END_GRACE = 2.0
"""Seconds, besides the drain of workers, that a daemon has for its end; then it is killed."""
_LONGEST = 86400.0
"""Seconds that a start may take where a person may stop it in the debugger."""
_DRAIN = 5.0
"""Seconds that workers may drain at the end of a test that does not give `drain_timeout`."""


@contextmanager
def live_server(
    target: object,
    *,
    listeners: Mapping[str, Kind] | None = None,
    timeout: float = 30.0,
    **given: Unpack[RunKeywords],
) -> Iterator[Server]:
    """Run an application on the loopback while the block runs; yield its `Server` when its workers are ready.

        with live_server("shop:app", workers=2) as server:
            assert httpx.get(server.url).status_code == 200

    `target`: what `prefork run` takes, or an application or a `Daemon` itself, if a variable of a module has it.
    `listeners`: names of listeners and what they are (tcp, udp, unix), the first one for `server.url`; without it those
    of a `Daemon` object, else one, `http`. `timeout`: seconds for the start, and for each verb of the server. Others
    are the options of `prefork run` (docs/run.md); workers: 2. Neither `prefork.toml` nor variables count, unless
    `config` names a file.

    Raises StartFailedError with the application's traceback, DeadlineError, UsageError; EndedError if the daemon has
    ended before the end of the block. Nothing is left afterwards, also if this process is killed.
    """
    wanted = options(_CALL, given)
    if not isinstance(timeout, int | float) or not timeout > 0:
        raise UsageError(f"{_CALL}: timeout: {timeout!r} is not a number of seconds above 0")
    grace = float(wanted.get("drain_timeout", _DRAIN)) + _END_GRACE
    kinds = listeners_of(target) if listeners is None else listeners
    process = Process()
    try:
        process.bind(kinds)
        line = _command(target_of(target), wanted, process)
        process.start(line, {}, grace)
        process.wait_until_ready(_LONGEST if TERMINAL in os.environ else timeout)
        server = Server(process, timeout=timeout, scheme="https" if "tls_cert" in wanted else "http")
        yield server
        if (status := process.ended()) is not None and not server.stopped:
            raise EndedError(f"the daemon ended in the test with exit status {status}; its log:\n{process.log.end()}")
    finally:
        try:
            process.let_go(grace + _END_GRACE)
        finally:
            process.close()


def _command(target: str, wanted: dict[str, object], process: Process) -> list[str]:
    """Return the command line: with the name, the file and the search path of a test, unless it has its own."""
    own: dict[str, object] = {"import_timeout": _LONGEST} if TERMINAL in os.environ else {}
    own |= {"name": fresh_name(), "config": process.empty_config(), "python_path": search_path()}
    return command("run", target, {name: value for name, value in {**own, **wanted}.items() if value != []})
