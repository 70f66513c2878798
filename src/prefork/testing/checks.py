"""Checks of a target without a server: its plan as data, and whether workers can be forked from it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import Any, Unpack

from .._launch.served.run import RunKeywords
from .command import command, environment, options
from .failures import DeadlineError, StartFailedError
from .target import search_path, target_of

_PARTS = ("listeners", "kinds", "pools", "slots")
_TIMEOUT = 120.0
"""Seconds; the import itself has `import_timeout`."""


def plan_of(target: object, **given: Unpack[RunKeywords]) -> dict[str, Any]:
    """Import a target in a process of its own, compute its plan and return it as plain data, for tests of the plan.

    `target` and the options are those of `live_server`. The data are the `listeners`, the `kinds` with their options,
    the `pools` with their sizes, and the `slots` that get a worker (`prefork check --json`). Raises StartFailedError
    with the application's traceback.
    """
    found = _checked("plan_of()", target, given)
    if "error" in found:
        raise StartFailedError(f"{found['target']} has no plan:\n{found['error']}")
    return {part: found[part] for part in _PARTS}


def assert_fork_safe(target: object, **given: Unpack[RunKeywords]) -> None:
    """Import a target in a process of its own, and fail if its workers would miss or share what the import has left.

    Workers miss threads that it has started, and share connections that it has opened (docs/imports.md). `target` and
    the options are those of `live_server`. Raises AssertionError with what was found, where it comes from, and what to
    do.
    """
    found = _checked("assert_fork_safe()", target, given)
    if "error" in found:
        raise AssertionError(f"{found['target']} cannot be run:\n{found['error']}")
    if found["lost"]:
        raise AssertionError(
            f"workers of {found['target']} miss what its import has started:\n" + "\n".join(found["lost"])
        )


def _checked(call: str, target: object, given: RunKeywords) -> dict[str, Any]:
    """Return what `prefork check` finds."""
    wanted = options(call, given)
    with tempfile.TemporaryDirectory(prefix="prefork-test-") as directory:
        config = os.path.join(directory, "prefork.toml")
        open(config, "w").close()
        own = {"config": config, "python_path": search_path()}
        line = command(
            "check", target_of(target), {name: value for name, value in {**own, **wanted}.items() if value != []}
        )
        line.insert(4, "--json")
        try:
            done = subprocess.run(
                line, env=environment({}), capture_output=True, timeout=_TIMEOUT, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise DeadlineError(f"{call}: {line[-1]}: no plan after {_TIMEOUT:g} s") from None
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise StartFailedError(f"{call}: {done.stderr.decode(errors='replace')}") from None
    return found
