"""`prefork run`: a daemon, started without importing it here: only its mold ever does, as the user that it is to be."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from typing import Any

import click

from .._daemon_main import become_master, launch_of
from .._errors import MisuseError, PreforkError
from .._linux.program import THIS_PROGRAM


@click.command()
@click.argument("target", metavar="MODULE:DAEMON")
@click.option("--name", help="The daemon's name; by default the module's.")
@click.option("--share", type=click.Choice(["freeze", "immortal", "none"]), help="How workers share the mold's memory.")
@click.option("--spares", type=click.IntRange(min=0), help="Processes kept forked ahead; 1 by default.")
@click.option("--user", envvar="PREFORK_USER", help="Run the application as this user; the master stays root.")
@click.option("--group", envvar="PREFORK_GROUP", help="And as this group; by default the user's own.")
def run(target: str, name: str | None, user: str | None, group: str | None, **options: Any) -> None:
    """Run the daemon that MODULE:DAEMON names, such as `chat:daemon`.

    The module is looked for in the current directory first.
    """
    try:
        if group is not None and user is None:
            raise MisuseError("--group goes with --user")
        launch = launch_of(name or target.partition(":")[0].rpartition(".")[2], {"target": target}, THIS_PROGRAM, {})
        launch["options"] = {option: value for option, value in options.items() if value is not None}
        if user is not None:
            launch["identity"], changes = _identity(user, group)
            launch["environ"].update(changes)
        become_master(launch)
    except PreforkError as error:
        click.echo(f"prefork: {error}", err=True)
        sys.exit(2 if isinstance(error, MisuseError) else 1)


def _identity(user: str, group: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return who the application is to be, and what its environment then says. Raises MisuseError."""
    if os.geteuid() != 0:
        raise MisuseError("--user can be given by root only: nobody else may become another user")
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        raise MisuseError(f"there is no user {user!r}") from None
    gid, groups = entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)
    if group is not None:
        try:
            gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise MisuseError(f"there is no group {group!r}") from None
        groups = [gid]
    environ = {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
    return {"uid": entry.pw_uid, "gid": gid, "groups": groups}, environ
