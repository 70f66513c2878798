"""From the application's `daemon.run()` to the master: the same process, another program.

The process becomes the master (`_become_master`), which starts a mold, and that runs the application's program again up
to `run()`.
"""

from __future__ import annotations

import os
from typing import NoReturn

from .._errors import PreforkError, UsageError, exit_with
from .._hooks import role
from .._linux.program import THIS_PROGRAM
from .._mold import mold
from .._options.records import DaemonOptions
from .become_master import become_master, launch_of


def run(name: str, options: DaemonOptions, daemon: object) -> NoReturn:
    """Be what this process was started as; of an ordinary program make the master. Never returns."""
    if mold.own is not None:
        mold.own.serve(mold.adopt(daemon), options.share)
    try:
        if role.take() is not None:
            raise UsageError("this process is a worker of the hooks interface; a Daemon cannot be run in it")
        if os.geteuid() == 0 and os.environ.get("PREFORK_USER"):
            raise UsageError(
                "PREFORK_USER is set, but the program has run as root up to here: start it by `prefork run`, "
                "which becomes that user before it imports anything"
            )
        become_master(launch_of(name, THIS_PROGRAM.target(), THIS_PROGRAM, options))
    except PreforkError as error:
        exit_with(error)
