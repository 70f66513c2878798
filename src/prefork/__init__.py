"""A library for preforking daemons: declare the workers, it keeps them running."""

from typing import TYPE_CHECKING, Any

# First: how this process was started, and in which role, before the application can have changed anything.
from ._hooks import role as _role  # noqa: F401
from ._linux import program as _program  # noqa: F401

if TYPE_CHECKING:
    from ._context import Descriptor, Launch, WorkerContext
    from ._errors import CommandFailedError, InternalError, NotRunningError, PreforkError, SystemFailure, UsageError
    from ._launch.served.run import run
    from ._listener import Listener
    from ._worker.activity import beat
    from ._worker.async_handle import AsyncWorker, wait_draining
    from ._worker.callbacks.registered import on_reload, on_worker_start, on_worker_stop
    from ._worker.handle import Worker, draining
    from ._worker.metrics.collectors import collector
    from .client import Client, connect
    from .config import toml_file
    from .daemon import Daemon, Plan, Pool
    from .hooks import (
        PreforkResource,
        PreforkSettings,
        default_main,
        default_settings,
        fork_worker_process,
        ready,
        relaunch_settings,
        run_settings,
        update_worker_set,
    )
    from .scoreboard import Board, open_scoreboard

__all__ = [
    "AsyncWorker",
    "Board",
    "Client",
    "CommandFailedError",
    "Daemon",
    "Descriptor",
    "InternalError",
    "Launch",
    "Listener",
    "NotRunningError",
    "Plan",
    "Pool",
    "PreforkError",
    "PreforkResource",
    "PreforkSettings",
    "SystemFailure",
    "UsageError",
    "Worker",
    "WorkerContext",
    "beat",
    "collector",
    "connect",
    "default_main",
    "default_settings",
    "draining",
    "fork_worker_process",
    "on_reload",
    "on_worker_start",
    "on_worker_stop",
    "open_scoreboard",
    "ready",
    "relaunch_settings",
    "run",
    "run_settings",
    "toml_file",
    "update_worker_set",
    "wait_draining",
]

# Imported on access: a master imports only what it needs itself, and must stay small.
_HOMES = {
    "_worker.async_handle": ["AsyncWorker", "wait_draining"],
    "_context": ["Descriptor", "Launch", "WorkerContext"],
    "_errors": [
        "CommandFailedError",
        "InternalError",
        "UsageError",
        "NotRunningError",
        "PreforkError",
        "SystemFailure",
    ],
    "_launch.served.run": ["run"],
    "_listener": ["Listener"],
    "_worker.activity": ["beat"],
    "_worker.callbacks.registered": ["on_reload", "on_worker_start", "on_worker_stop"],
    "_worker.handle": ["Worker", "draining"],
    "_worker.metrics.collectors": ["collector"],
    "client": ["Client", "connect"],
    "config": ["toml_file"],
    "daemon": ["Daemon", "Plan", "Pool"],
    "hooks": [
        "PreforkResource",
        "PreforkSettings",
        "default_main",
        "default_settings",
        "fork_worker_process",
        "ready",
        "relaunch_settings",
        "run_settings",
        "update_worker_set",
    ],
    "scoreboard": ["Board", "open_scoreboard"],
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
