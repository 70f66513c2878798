"""How many files may be open: in the master, which has some for each worker, as many as can be allowed."""

from __future__ import annotations

import errno
import resource


def allow_most() -> int:
    """Raise this process's soft limit to its hard one; return what it was, for those that are started.

    It is low for the sake of programs that select(2), which takes no descriptor above 1023; the master does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # More than the system lets anybody have, for which it is not lower than before.
    return soft


def allow(soft: int) -> None:
    """Have this soft limit, as far as the hard one lets us. Raises OSError."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def explained(error: OSError) -> OSError:
    """Say what to do where no descriptor is free."""
    if error.errno != errno.EMFILE:
        return error
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OSError(error.errno, f"the master has {soft} files open, and may not have more (ulimit -Hn, LimitNOFILE=)")
