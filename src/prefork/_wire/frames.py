"""Which frames of a traceback or stack dump are prefork's own."""

from __future__ import annotations

import os
import re

from .printable import printable

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_IMPORT_SYSTEM = ("<frozen importlib", "<frozen runpy")
_FRAME = re.compile(r'  File "([^"]*)", line')
"""A frame, as faulthandler writes it."""

BENEATH = tuple(
    _PACKAGE + os.path.join(*parts)
    for parts in (("_mold", ""), ("_linux", ""), ("_worker", "newborn.py"), ("_worker", "async_loop.py"))
)
"""Files and folders whose frames lie beneath every worker's function, in the stacks of all of them."""


def is_own(filename: str) -> bool:
    """Return whether a frame of a traceback belongs to prefork or to the import system."""
    return filename.startswith((_PACKAGE, *_IMPORT_SYSTEM)) or filename.endswith(f"importlib{os.sep}__init__.py")


def is_beneath(filename: str) -> bool:
    """Return whether a frame of a stack lies beneath the worker's function; an adapter's, say, does not."""
    return filename.startswith((*BENEATH, *_IMPORT_SYSTEM))


def without_beneath(stacks: str) -> str:
    """Return what faulthandler has written without such frames, and without control characters."""
    lines = [line for line in stacks.splitlines() if not ((frame := _FRAME.match(line)) and is_beneath(frame[1]))]
    return "\n".join(map(printable, lines))
