"""The event loop of an ASGI server's workers: the one that the operator chooses, or uvloop where it is installed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .._errors import UsageError

if TYPE_CHECKING:
    from .._worker.async_loop import Factory
    from . import ServerOptions


def loop_factory(options: ServerOptions) -> Factory | None:
    """Return what makes the loop; None for Python's default. Raises UsageError if uvloop is wanted and missing."""
    if options.loop == "asyncio":
        return asyncio.SelectorEventLoop
    try:
        import uvloop
    except ImportError:
        if options.loop == "uvloop":
            raise UsageError("--loop uvloop: uvloop is not installed: pip install uvloop") from None
        return None
    return uvloop.new_event_loop
