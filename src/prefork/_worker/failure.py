"""An exception of the application in its own words."""

from __future__ import annotations

import traceback

from .._errors import PreforkError
from .._wire.frames import is_own

_LIMIT = 64 * 1024  # characters; the end says what failed


def describe(error: BaseException) -> str:
    """The traceback, from the application's own code on: ours and importlib's would only hide it."""
    frames = error.__traceback__
    while frames is not None and is_own(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    if frames is None and isinstance(error, PreforkError):
        return str(error)  # Ours, and about what we were asked to do: the words say it all.
    text = "".join(traceback.format_exception(type(error), error, frames)).rstrip("\n")
    return text if len(text) <= _LIMIT else "[...]" + text[-_LIMIT:]
