"""What reads a stream: a terminal, or the service manager's journal."""

from __future__ import annotations

import os
from collections.abc import Mapping


def shows_colours(descriptor: int) -> bool:
    """Return whether to write in colours there: https://no-color.org and dumb terminals are respected."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def is_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Return whether a service manager's journal reads this stream, and adds the time to each line.

    `$JOURNAL_STREAM` has the device and inode of the stream that the manager connected to it (systemd.exec(5)). It is
    inherited, so a stream that was redirected since is another file.
    """
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
