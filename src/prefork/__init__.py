"""A library for preforking daemons: say which workers should exist, it keeps them running."""

from ._context import Descriptor, WorkerContext
from ._errors import InternalError, MisuseError, PreforkError, WorldError
from .hooks import (
    PreforkResource,
    PreforkSettings,
    default_main,
    default_settings,
    fork_worker_process,
    relaunch_settings,
    run_settings,
    update_worker_set,
)

__all__ = [
    "Descriptor",
    "InternalError",
    "MisuseError",
    "PreforkError",
    "PreforkResource",
    "PreforkSettings",
    "WorkerContext",
    "WorldError",
    "default_main",
    "default_settings",
    "fork_worker_process",
    "relaunch_settings",
    "run_settings",
    "update_worker_set",
]
