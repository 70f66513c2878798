"""From the application's `daemon.run()` to the master: the same process, another program.

The process becomes the master (`_become_master`), which starts a mold, and that runs the application's program again up
to `run()`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from ._become_master import become_master, launch_of
from ._daemon_application import DaemonApplication
from ._errors import MisuseError, PreforkError
from ._linux import mold, role
from ._linux.program import THIS_PROGRAM

if TYPE_CHECKING:
    from .daemon import Daemon


def run(daemon: Daemon) -> NoReturn:
    """Be what this process was started as; of an ordinary program make the master. Never returns."""
    if mold.own is not None:
        mold.own.serve(DaemonApplication(daemon), daemon.options.get("share", "freeze"))
    try:
        if role.take() is not None:
            raise MisuseError("this process is a worker of the hooks interface; a Daemon cannot be run in it")
        if os.geteuid() == 0 and os.environ.get("PREFORK_USER"):
            raise MisuseError(
                "PREFORK_USER is set, but the program has run as root up to here: start it by `prefork run`, "
                "which becomes that user before it imports anything"
            )
        become_master(launch_of(daemon.name, THIS_PROGRAM.target(), THIS_PROGRAM, dict(daemon.options)))
    except PreforkError as error:
        print(f"prefork: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, MisuseError) else 1)
