"""The surroundings of the application, as the options want them, before it is imported.

The mold's interpreter has the variables of the daemon's start from exec. A reload reads the options again, so that a
mold may have to change some.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from ..._options.listed.env_file import UnreadableError
from ..._options.listed.variables import variables
from ..._options.table import Settings


def prepare(settings: Settings, started: Mapping[str, Any], directory: str) -> list[str]:
    """Set up this process; return what the log is to have of it. Raises UsageError.

    `started` has under `variables`, by name, the value that the start gave and the one that it has replaced, or None.
    """
    notes = _renew(settings, started["variables"], directory)
    # After the place of the target's own folder, as PYTHONPATH is.
    place = 0 if sys.flags.safe_path else 1
    sys.path[place:place] = [os.path.normpath(os.path.join(directory, each)) for each in settings["python_path"] or ()]
    if settings["umask"] is not None:
        os.umask(settings["umask"])
    if settings["log_config"] is not None:
        from .log_config import configure

        configure(os.path.join(directory, settings["log_config"]), settings["log_config"])
    return notes


def _renew(settings: Settings, given: Mapping[str, list[str | None]], directory: str) -> list[str]:
    """Give this process the present variables in place of those of the start."""
    try:
        present: Mapping[str, str | None] = variables(settings, directory)
    except UnreadableError as error:
        # The master, as root, has read it for an application that may not: at the start alone.
        return [f"{error}; the variables of the daemon's start hold"]
    for name in given.keys() | present.keys():
        value, replaced = given.get(name, [None, None])
        if name not in present:
            _set(name, replaced)
        elif present[name] != value:
            _set(name, present[name])
    return []


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
