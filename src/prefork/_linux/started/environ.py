"""The environment that exec gave to this process."""

from __future__ import annotations

import os
import sys


def started_environ() -> dict[str, str]:
    """Return the environment that exec gave to this process, before any code of site-packages could change it.

    A sitecustomize that changes it has its reasons in this process, and runs again in the next one: that of
    opentelemetry-instrument removes itself from PYTHONPATH. From os.environ where a title has been written over it.
    """
    try:
        with open("/proc/self/cmdline", "rb") as cmdline, open("/proc/self/environ", "rb") as environ:
            if cmdline.read().split(b"\0")[:-1] != [os.fsencode(word) for word in sys.orig_argv]:
                return dict(os.environ)
            given = [os.fsdecode(each).partition("=") for each in environ.read().split(b"\0") if b"=" in each]
    except OSError:  # There is no /proc, or it belongs to another process's user.
        return dict(os.environ)
    return {name: value for name, _, value in given}
