"""The limit of open files, raised in the master as far as allowed."""

from __future__ import annotations

import errno
import resource


def allow_most() -> int:
    """Raise this process's soft limit to its hard limit; return the soft limit before, for the child processes.

    It is low for programs that use select(2), which takes no descriptor above 1023; the master does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # The hard limit exceeds fs.nr_open; the soft limit stays as it was.
    return soft


def allow(soft: int) -> None:
    """Set this soft limit, or the hard limit if that is lower. Raises OSError."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def explained(error: OSError) -> OSError:
    """Return the error with what to do about it, if no descriptor is free."""
    if error.errno != errno.EMFILE:
        return error
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"the master has reached its limit of {soft} open files: raise it (ulimit -Hn, LimitNOFILE=)"
    return OSError(error.errno, text)
