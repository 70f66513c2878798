"""From the options of `prefork run`, or of `prefork.run()`, to the master of an application.

The application is not imported here; only its mold imports it, as the user that it is to run as.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from time import time
from types import ModuleType
from typing import Any, NoReturn

from ..._errors import UsageError
from ..._linux.address import parse, split
from ..._linux.terminal import is_journal, shows_colours
from ..._options.agent.metrics import agent_address
from ..._options.listed.tls import FILES, files
from ..._options.records import DaemonOptions, checked
from ..._options.table import Settings
from ..._records.members import replace
from ..._report.banner import Start, Style, opening
from ..._report.forms import Json, Text
from ..._wire.launch import Greeting, Identity, MasterLaunch
from ..become_master import become_master, launch_of
from .surroundings import for_molds, given_variables, here, program_here

_NEED_ROOT = (*FILES, "user", "group", "new_privileges", "log_file", "pid_file", "env_file", "control_group", "bind")
"""Options that decide what root does, or reads for the application."""

_PRIVILEGED = 1024
"""Only root can bind ports below this one (ip(7)), by default."""


def start(given: dict[str, Any], settings: Settings, started: float) -> NoReturn:
    """Become the master; `started`: when this began (time.monotonic). Raises UsageError and SystemFailure."""
    style = _style(settings)
    prepared = replace(launch(given, settings), greeting=Greeting(style, started))
    with suppress(OSError):  # Standard error is closed.
        os.write(2, _opening(settings, style))
    become_master(prepared)


def _opening(settings: Settings, style: Style) -> bytes:
    """Return the first message, in the form in which the master will write its log; on a terminal a block."""
    text = opening(_start(settings), style)
    if style != "line":
        return f"{text}\n".encode("utf-8", "backslashreplace")  # A time, or an indent, would break its columns.
    if settings["log_format"] == "json":
        return Json(time).message(text)
    return Text(clock=None if is_journal(2, os.environ) else time).message(text)


def _start(settings: Settings) -> Start:
    python = ".".join(map(str, sys.version_info[:3]))
    return Start(settings["name"], os.getpid(), settings["target"], python, settings.file)


def _style(settings: Settings) -> Style:
    """Return the style of the start's messages: a block on a terminal, a line elsewhere."""
    if not sys.stderr.isatty() or settings["log_format"] == "json" or settings["log_file"]:
        return "line"
    return "colour" if shows_colours(2) else "plain"


def launch(given: dict[str, Any], settings: Settings) -> MasterLaunch:
    """Return the launch of the daemon's master. Raises UsageError."""
    if settings["target"] is None:
        where = f"{settings.file} names none" if settings.file else "there is no prefork.toml either"
        raise UsageError(f"there is no TARGET, and {where}: name one, as in shop:app")
    options, variables = settings.given_for(DaemonOptions), given_variables(settings)
    read = files(settings.values, settings.sources)
    agent = agent_address(settings.values, settings.sources)
    target = {"run": for_molds(settings, given, variables)}
    launch = replace(
        launch_of(settings["name"], target, program_here(settings), checked(DaemonOptions, options)),
        place=here(),
        files={name: os.path.join(here(), path) for name, path in read.items()},
        runs=settings["target"],
        fixed=tuple(options),
        sources=_sources(settings),
        variables=variables,
        addresses=tuple(split(given)[0] for given in (*settings["bind"], *([agent] if agent else []))),
    )
    if settings["user"] is not None:
        identity, environ = _identity(settings)
        environ = launch.environ | environ
        launch = replace(launch, identity=identity, new_privileges=settings["new_privileges"], environ=environ)
        named_in = os.path.abspath(settings.file) if settings.file and _in_file(settings, "bind") else None
        return replace(launch, relied_on=_relied_on(settings), named_in=named_in, code=tuple(_code()))
    if settings["group"] is not None:
        raise UsageError(f"{settings.source('group')}: a group needs a user: give --user too")
    return launch


def _relied_on(settings: Settings) -> dict[str, str]:
    """Return the file that was read, with the options for which root is needed and which it has set; else nothing."""
    if settings.file is None:
        return {}
    needing = [name for name in _NEED_ROOT if _in_file(settings, name)]
    if "bind" in needing and not any(0 < parse(split(each)[0]).port < _PRIVILEGED for each in settings["bind"]):
        needing.remove("bind")
    return {os.path.abspath(settings.file): ", ".join(needing)} if needing else {}


def _in_file(settings: Settings, name: str) -> bool:
    return settings.source(name).endswith(f": {name}")


def _code() -> Iterator[str]:
    """Yield what decides the code of this process, as far as it exists: it has run as root, and would the next time.

    That is each folder where modules are looked for, each that one came from, and each file that its mode or owner lets
    another user change.
    """
    loaded = [path for module in sys.modules.values() for path in _files_of(module)]
    folders = {os.path.abspath(path) for path in [*sys.path, *map(os.path.dirname, loaded)]}
    yield from sorted(filter(os.path.exists, folders))
    started = [each.path for folder in folders if os.path.isdir(folder) for each in os.scandir(folder)]
    started = [path for path in started if path.endswith(".pth")]
    for path in [*loaded, *started, os.path.join(sys.prefix, "pyvenv.cfg")]:
        if os.path.lexists(path) and (
            (found := os.lstat(path)).st_uid not in (0, os.geteuid()) or found.st_mode & 0o022
        ):
            yield path


def _files_of(module: ModuleType) -> Iterator[str]:
    """Yield the files of a module: its source, and what is compiled of it."""
    # Modules have no `__cached__` from CPython 3.15 on.
    cached = getattr(module, "__cached__", None) or getattr(getattr(module, "__spec__", None), "cached", None)
    for path in getattr(module, "__file__", None), cached:
        if isinstance(path, str) and path:
            yield os.path.abspath(path)


def _sources(settings: Settings) -> tuple[str, ...]:
    """Return the folders whose files are watched, if any are. Raises UsageError."""
    if not settings["reload"]:
        if settings.given("reload_dir"):
            raise UsageError(f"{settings.source('reload_dir')}: it needs --reload")
        return ()
    if find_spec("watchfiles") is None:
        raise UsageError(f"{settings.source('reload')}: it needs watchfiles: pip install 'prefork[watch]'")
    for folder in settings["reload_dir"]:
        if not os.path.isdir(folder):
            raise UsageError(f"{settings.source('reload_dir')}: {folder} is not a directory")
    return tuple(os.path.abspath(folder) for folder in settings["reload_dir"])


def _identity(settings: Settings) -> tuple[Identity, dict[str, str]]:
    """Return the identity of the application and the variables that go with it. Raises UsageError."""
    import grp
    import pwd

    user, group = settings["user"], settings["group"]
    if os.geteuid() != 0:
        raise UsageError(f"{settings.source('user')}: only root can run an application as another user")
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"{settings.source('user')}: there is no user {user!r}") from None
    gid, groups = entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)
    if group is not None:
        try:
            gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise UsageError(f"{settings.source('group')}: there is no group {group!r}") from None
        groups = [gid]
    environ = {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
    return Identity(entry.pw_uid, gid, tuple(groups)), environ
