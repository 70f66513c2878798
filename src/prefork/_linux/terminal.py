"""A descriptor that may be a terminal."""

from __future__ import annotations

import os


def shows_colours(descriptor: int) -> bool:
    """Return whether to write in colours there: https://no-color.org and dumb terminals are respected."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
