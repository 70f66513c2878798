"""`daemon.run()`, in each process that calls it.

In an ordinary program it becomes the master (`_launch.become_master`). The master starts a mold, which runs the
application's program again up to `run()`; there it serves the master (`Mold.serve`).
"""

from __future__ import annotations

import os
from typing import NoReturn

from .._errors import MisplacedError, PreforkError, UsageError, exit_with
from .._hooks import role
from .._linux import place
from .._linux.program import THIS_PROGRAM
from .._mold import mold
from .._options.records import DaemonOptions
from .become_master import become_master, launch_of

_CALL = "Daemon.run()"


def run(name: str, options: DaemonOptions, daemon: object) -> NoReturn:
    """Serve the master if this process is a mold, else become the master. Never returns.

    Raises MisplacedError inside another daemon, and SystemExit for all other wrong usage.
    """
    if mold.own is not None and mold.own.awaits_run and not place.is_child_of_multiprocessing():
        mold.own.serve(mold.adopt(daemon), options, options.allow_shared or ())
    try:
        if role.belongs_to_master():
            raise UsageError(place.inside(_CALL))
        role.take(_CALL)
        if os.geteuid() == 0 and os.environ.get("PREFORK_USER"):
            raise UsageError(
                "PREFORK_USER is set, but the program has run as root up to here: start it by `prefork run`, "
                "which becomes that user before it imports anything"
            )
        become_master(launch_of(name, THIS_PROGRAM.target(), THIS_PROGRAM, options))
    except MisplacedError:
        raise
    except PreforkError as error:
        exit_with(error)
