"""An exception of the application as text for the log."""

from __future__ import annotations

import traceback

from .._errors import MisplacedError, PreforkError
from .._wire.frames import is_own

_LIMIT = 64 * 1024  # characters; the end says what failed


def describe(error: BaseException) -> str:
    """Return the traceback without the frames of prefork and importlib above the application's own."""
    frames = error.__traceback__
    while frames is not None and is_own(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    if isinstance(error, MisplacedError) or (frames is None and isinstance(error, PreforkError)):
        return str(error)  # Raised by prefork itself: the message suffices.
    text = "".join(traceback.format_exception(type(error), error, frames)).rstrip("\n")
    return text if len(text) <= _LIMIT else "[...]" + text[-_LIMIT:]
