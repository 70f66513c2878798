"""Where a daemon's files are, for the master and for its clients, and by which name."""

from __future__ import annotations

import os
from collections.abc import Mapping

PROTOCOL = 1
"""The version of the control protocol (docs/control.md)."""

SOCKET = "control.sock"
"""The control socket's name in the runtime directory."""

CRASHES = "crashes"
"""The name of the directory of crash reports in the runtime directory."""

PROFILES = "profiles"
"""The name of the directory of profiles that were taken by themselves, in the runtime directory."""

WORKERS = ("workers-1", "workers-2")
"""The names of the files in the runtime directory that tell the next master of the workers, written in turn."""

TOKEN = "dashboard-token"
"""The name of the file in the runtime directory with the token of the dashboard's commands."""


def orphan_address(lifeline: int, pid: int) -> bytes:
    """Return the abstract Unix address at which an orphan waits for a new master; `lifeline`: the inode of its pipe."""
    return f"\0prefork/orphan/{lifeline}/{pid}".encode()


def given_in(environ: Mapping[str, str]) -> str:
    """Return the runtime directory that a service manager has created for this daemon; empty where there is none."""
    return environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]


def homes_in(environ: Mapping[str, str]) -> list[str]:
    """Return the directories that hold the runtime directories of daemons, the first choice first."""
    xdg = environ.get("XDG_RUNTIME_DIR")
    return ["/run/prefork", *([f"{xdg}/prefork"] if xdg else []), f"/tmp/prefork-{os.geteuid()}"]


def searched_in(environ: Mapping[str, str]) -> list[str]:
    """Return the directories that may hold a daemon of this user: it may have had other variables, as under cron."""
    return list(dict.fromkeys([*homes_in(environ), f"/run/user/{os.geteuid()}/prefork"]))


def by_name(path: str, directory: str | None) -> str:
    """Return a path below `directory`, or below one around it, by the shell's name for that, such as `current`.

    Python knows the real path of the current directory only, and so does a script that pip has installed in a release:
    when the link is switched, these lead to the former release still.
    """
    around = directory or "/"
    while around != "/":
        real = os.path.realpath(around)
        if real != around and path.startswith(f"{real}/"):
            return around + path[len(real) :]
        around = os.path.dirname(around)
    return path


def numbers_in(directory: str) -> list[int]:
    """Return the numbers of the crash reports, or of the profiles, in a directory."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return [int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdecimal()]
