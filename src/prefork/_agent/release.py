"""The release of prefork that runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """Return its version; `unknown` where it is not installed, and runs from its sources."""
    try:
        return version("prefork")
    except PackageNotFoundError:
        return "unknown"
