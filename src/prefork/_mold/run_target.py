"""`prefork run` in the mold: options resolved, target imported and recognised."""

from __future__ import annotations

import os
from typing import Any

from .._errors import UsageError
from .._options import target
from .._options.table import OPTIONS, PREFIX, Settings, resolve
from . import mold
from .recognise import Recognised, recognise


def run(started: dict[str, Any]) -> None:
    """Serve the master with the target. `started` has the flags of the command line, `given`."""
    directory = os.getcwd()
    environ = _take_variables()

    def read() -> Settings:
        return resolve(started["given"], environ, directory)

    settings = read()
    recognised = recognised_target(settings, directory)
    assert mold.own is not None
    if recognised.what == "daemon":
        _refuse_for_a_daemon(settings)
        recognised.application.run()
    # Here, since its contexts are of kinds that a Daemon's own may be of too.
    from .serve_application import ServedApplication

    mold.own.serve(ServedApplication(recognised, read), "freeze")


def recognised_target(settings: Settings, directory: str) -> Recognised:
    """Import the target and tell what it is. Raises UsageError, and whatever the import raises."""
    if settings["target"] is None:
        raise UsageError("there is no target any more: prefork.toml has had one when the daemon was started")
    parsed = target.parse(settings["target"], directory)
    target.look_in(parsed.folder)
    return recognise(target.find(parsed), parsed.text.removesuffix("()"), settings["interface"])


def _take_variables() -> dict[str, str]:
    """Take our variables out of the environment: they are not for the application, nor for what it starts."""
    return {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(PREFIX)}


def _refuse_for_a_daemon(settings: Settings) -> None:
    """Raise UsageError for an option that a `Daemon`'s own code has the say about."""
    for option in OPTIONS:
        if option.scope == "served" and settings.given(option.name):
            raise UsageError(
                f"{settings.source(option.name)}: {settings['target']} is a Daemon, whose own code says what "
                f"{option.name} would: the option is for applications"
            )
