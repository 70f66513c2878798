"""What goes wrong with a server in a test."""

from __future__ import annotations

from .._errors import SystemFailure


class StartFailedError(SystemFailure):
    """The server could not start; the message has the application's traceback, as the log has it."""


class EndedError(SystemFailure):
    """The server has ended while it was needed; the message has its exit status and the end of its log."""


class DeadlineError(SystemFailure):
    """Something did not happen in time; the message says what, and what the daemon's state is instead."""
