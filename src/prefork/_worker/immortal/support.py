"""Whether this interpreter can have immortal objects: by its version and build, by its layout, and by a trial."""

from __future__ import annotations

import sys
from collections.abc import Callable

from .constants import settle
from .layout import FLAGS, IMMORTAL, NONE


def unsupported() -> str | None:
    """Return why this interpreter cannot make objects immortal, as text for the log; None when it can."""
    jit = getattr(sys, "_jit", None)
    builds = {
        "is a free-threaded build, whose objects have two counts": "t" in sys.abiflags,
        "is a debug build, which counts all references": hasattr(sys, "gettotalrefcount"),
        "has its JIT on, which may count references to constants (PYTHON_JIT=0 turns it off)": jit and jit.is_enabled(),
    }
    build = next((reason for reason, holds in builds.items() if holds), None)
    if (refusal := _refused(sys.implementation.name, sys.version_info[:2], build)) is not None:
        return refusal
    try:
        # Imported here, since a mold that only freezes does without ctypes.
        import ctypes
    except ImportError as error:
        return f"ctypes is missing: {error}"
    count_at = ctypes.c_uint64.from_address
    mortal = object()
    counts = count_at(id(None)).value, count_at(id(mortal)).value
    if counts != (NONE, 1):
        return "objects have an unknown layout (None counts {:#x}, a new object {:#x})".format(*counts)
    if moved := _moved_by():
        return f"the count of an immortal constant has moved by {moved} in 100 runs of its code"
    return None


def _moved_by() -> int:
    """Return by how much 100 runs of code move the count of its constant, immortal since it has run before."""
    from ctypes import c_uint64

    program: dict[str, Callable[[list[object]], None]] = {}
    exec("def keep(kept): kept.append((0.5, 'constant'))", program)
    keep, kept = program["keep"], list[object]()
    for _ in range(100):  # Enough for CPython to specialise it.
        keep(kept)
    count = c_uint64.from_address(id(kept[0]))
    count.value = count.value & FLAGS | IMMORTAL
    settle([keep.__code__])
    before = count.value
    for _ in range(100):
        keep(kept)
    kept.clear()
    return count.value - before


def _refused(implementation: str, version: tuple[int, int], build: str | None) -> str | None:
    if implementation != "cpython":
        return f"{implementation} does not count references as CPython does"
    name = "CPython {}.{}".format(*version)
    if version < (3, 12):
        return f"{name} has no immortal objects (they came with 3.12)"
    if version > (3, 15):
        return f"{name} is newer than 3.15, the last version whose immortal objects are known"
    return f"{name} {build}" if build else None
