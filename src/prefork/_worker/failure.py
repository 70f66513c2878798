"""An exception of the application in its own words."""

from __future__ import annotations

import os
import traceback

from .._errors import PreforkError

_LIMIT = 64 * 1024  # characters; the end says what failed
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def describe(error: BaseException) -> str:
    """The traceback, from the application's own code on: ours and importlib's would only hide it."""
    frames = error.__traceback__
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    if frames is None and isinstance(error, PreforkError):
        return str(error)  # Ours, and about what we were asked to do: the words say it all.
    text = "".join(traceback.format_exception(type(error), error, frames)).rstrip("\n")
    return text if len(text) <= _LIMIT else "[...]" + text[-_LIMIT:]


def _is_machinery(filename: str) -> bool:
    return filename.startswith((_OURS, "<frozen importlib", "<frozen runpy")) or filename.endswith(
        "importlib/__init__.py"
    )
