"""The access log of one worker, around its application."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING, Any

from ... import Application, ServerOptions
from . import asgi, wsgi
from .batches import LoopBatches, ThreadBatches
from .lines import Lines
from .output import STANDARD_OUTPUT, opened
from .source import Asgi, Wsgi

if TYPE_CHECKING:
    from ...._worker.handle import Worker


def check(path: str) -> None:
    """Open the file once, as the user who will write to it. Raises SystemFailure with the reason if that fails."""
    if path != STANDARD_OUTPUT:
        os.close(opened(path))


def logged(application: Application, protocol: str, options: ServerOptions, worker: Worker[Any]) -> Application:
    """Return the application with a line for each request; what is not written yet is written at the worker's exit."""
    if protocol == "asgi":
        turns = LoopBatches(options.access_log, worker)
        atexit.register(turns.close)
        lines = Lines(options.access_log_format, Asgi, worker.key, turns.output.most)
        return asgi.LoggedApplication(application, lines, turns)
    threads = ThreadBatches(options.access_log, worker)
    atexit.register(threads.close)
    lines = Lines(options.access_log_format, Wsgi, worker.key, threads.output.most)
    return wsgi.LoggedApplication(application, lines, threads)
