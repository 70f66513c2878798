"""`prefork run` in the mold: options resolved, target imported and recognised.

It runs between `_mold.load` and `Mold.serve`, which never returns.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .._errors import UsageError
from .._linux import place
from .._options.option import PREFIX
from .._options.records import DaemonOptions
from .._options.table import OPTIONS, Settings, resolve
from .._options.target import parse
from .._records.members import replace
from . import mold
from .agent.planned import add_agent
from .environment.prepare import prepare
from .environment.search_path import search_first
from .recognise import Recognised, has_hooks, recognise
from .secure import refuse_other_files
from .target.find import find
from .watching import loaded

_RENAMED = (
    "the Daemon of {0} is called {1} and runs as {2}: a name is needed before the import; start it with --name {1}"
)


def run(started: dict[str, Any]) -> None:
    """Serve the target. `started` has the values of the command line, `given`, and variables of the `platform`."""
    directory = os.getcwd()
    environ = _take_variables() | started["platform"]

    def read() -> Settings:
        settings = resolve(started["given"], environ, directory)
        refuse_other_files(settings, started["files"])
        return settings

    settings = read()
    assert mold.own is not None
    mold.own.notes += prepare(settings, started, directory)
    if settings["reload"]:
        loaded.note()
    recognised = recognised_target(settings, directory)
    if recognised.what == "daemon":
        # Sockets of a service manager are no option: they belong to listeners of the daemon, by their names.
        _refuse_for_a_daemon(settings, {"bind"} if started.get("activated") else set())
        daemon = recognised.application
        if daemon.name != settings["name"] and not settings.given("name"):
            mold.own.notes.append(_RENAMED.format(settings["target"], daemon.name, settings["name"]))
        add_agent(daemon, settings)
        if settings.given("warm_timeout"):
            daemon.options = replace(daemon.options, warm_timeout=settings["warm_timeout"])
        allowed = [*(daemon.options.allow_shared or ()), *(settings["allow_shared"] or ())]
        lazily = settings["lazy_imports"] if settings.given("lazy_imports") else daemon.options.lazy_imports
        mold.own.serve(mold.adopt(daemon), replace(daemon.options, lazy_imports=lazily), allowed)
    # Imported here, since a Daemon may have contexts of the same kinds.
    from .serve_application import ServedApplication

    options = DaemonOptions(lazy_imports=settings["lazy_imports"])
    mold.own.serve(ServedApplication(recognised, read), options, settings["allow_shared"] or ())


def recognised_target(settings: Settings, directory: str) -> Recognised:
    """Import the target and return what it is. Raises UsageError, and what the import raises."""
    if settings["target"] is None:
        raise UsageError("there is no target: prefork.toml had one when the daemon was started, and has none now")
    parsed = parse(settings["target"], directory)
    search_first(parsed.folder)
    # The options of `prefork run` are not for the application, nor is the name for its errors.
    sys.argv = [parsed.text]
    try:
        found = find(parsed)
    except UsageError:
        _refuse_hooks(sys.modules.get(parsed.module))
        raise
    return recognise(found, parsed.text.removesuffix("()"), settings["interface"])


def _refuse_hooks(module: Any) -> None:
    """Raise UsageError if a module without an application is a program with hooks: no name in it could be run."""
    if module is None or not has_hooks(module):
        return
    name, command = place.command_for(vars(module))
    raise UsageError(f"{name} is a program with hooks, which starts its own master: type `{command}`")


def _take_variables() -> dict[str, str]:
    """Remove the variables of prefork from the environment: they are not for the application or what it starts."""
    return {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(PREFIX)}


def _refuse_for_a_daemon(settings: Settings, allowed: set[str]) -> None:
    """Raise UsageError for an option that a `Daemon`'s own code decides, unless it is `allowed`."""
    for option in OPTIONS:
        if option.scope == "served" and settings.given(option.name) and option.name not in allowed:
            raise UsageError(
                f"{settings.source(option.name)}: {settings['target']} is a Daemon, whose own code decides "
                f"{option.name}: the option is for applications"
            )
