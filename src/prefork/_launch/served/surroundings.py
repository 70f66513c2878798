"""Where the application is to run, and with which variables: what the launch prepares of its surroundings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..._errors import SystemFailure, UsageError
from ..._linux.program import THIS_PROGRAM, Program, current_directory
from ..._options.listed.tls import files
from ..._options.listed.variables import variables
from ..._options.table import PLATFORM, Settings
from ..._records.members import replace

ACTIVATED = "LISTEN_FDS"
"""The source of addresses that no operator has given: of the sockets of a service manager."""


def here() -> str:
    """Return the current directory, by the shell's name for it. Raises SystemFailure if it was removed.

    Behind a link such as `current` a daemon keeps its name when the link is switched.
    """
    if (directory := current_directory()) is None:
        raise SystemFailure("the current directory was removed: change to another")
    return directory


def entered(given: Mapping[str, Any]) -> str:
    """Change to the directory of `--chdir`, if there is one; return the current one. Raises UsageError.

    By its name, as a shell does: a link in it may lead to another release at the next reload.
    """
    wanted, source = given.get("chdir"), "--chdir"
    if wanted is None and (wanted := os.environ.get("PREFORK_CHDIR")):
        source = "PREFORK_CHDIR"
    if not wanted:
        return here()
    directory = os.path.normpath(os.path.join(here(), wanted))
    try:
        os.chdir(directory)
    except OSError as error:
        raise UsageError(f"{source} {wanted}: the directory cannot be entered: {error.strerror}") from None
    os.environ["PWD"] = directory
    return here()


def program_here(settings: Settings) -> Program:
    """Return this program, as if it had been started in the current directory."""
    if settings["chdir"] is None:
        return THIS_PROGRAM
    return replace(THIS_PROGRAM, directory=here(), environ={**THIS_PROGRAM.environ, "PWD": here()})


def given_variables(settings: Settings) -> dict[str, str]:
    """Return the application's variables. Raises UsageError, also for a folder of `--python-path` that is none."""
    for folder in settings["python_path"] or ():
        if not os.path.isdir(folder):
            raise UsageError(f"{settings.source('python_path')}: {folder} is not a directory")
    return variables(settings, here())


def for_molds(settings: Settings, given: Mapping[str, Any], added: Mapping[str, str]) -> dict[str, Any]:
    """Return what molds are to know of the start: see `_mold.run_target` and `_mold.environment.prepare`."""
    read = files(settings.values, settings.sources)
    platform = {name: value for name, value in os.environ.items() if name in PLATFORM}
    replaced = {name: [value, THIS_PROGRAM.environ.get(name)] for name, value in added.items()}
    activated = settings.source("bind") == ACTIVATED
    return {"given": given, "platform": platform, "variables": replaced, "files": read, "activated": activated}
