"""Memory that a mold's workers go on sharing: what is done to the heap before the fork, after it, at the exit.

A fork shares every page until a process writes to it, and CPython writes where a program only reads: the collector
keeps its marks in the headers of containers, and each use of an object counts a reference inside it. `freeze` hides the
mold's objects from the collector (`gc.freeze`). `immortal` ends their reference counting too: PEP 683 gives CPython
objects whose count is never written, and all objects of the mold become such. `docs/sharing.md` says what that changes
for the application.

The order of calls: `prepare` once in the mold, `newborn` first in each worker, `before_exit` and `at_exit` last in it,
before and after its exit handlers. The heap belongs to the process, so what they must know is kept here and not in an
object.
"""

from __future__ import annotations

import gc
import io
import sys
import time
import weakref
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Literal

from .._records.record import record
from .finish import finalize, flush, open_for_writing

Mode = Literal["freeze", "immortal", "none"]

# CPython 3.12 and 3.13 on 64 bits. A decrement takes every negative lower half for immortal, but an increment
# leaves only this very value alone: any other one is written again, and its page copied.
_IMMORTAL = 0xFFFF_FFFF
_NEGATIVE = 0x8000_0000

# The interpreter needs their counts: a frame's says whether it outlives its call, and the `finally` of a generator runs
# when its count is 0.
_LEFT_ALONE = frozenset({FrameType, GeneratorType, CoroutineType, AsyncGeneratorType})

_finalizers = weakref.finalize._registry  # type: ignore[attr-defined]
native_threads = 0
"""How many threads libraries had in the mold when it forked."""
lost_threads = False
"""Whether the mold had threads of Python when it forked that this worker does not have."""
_mold_files: list[weakref.ref[io.IOBase]] = []
"""What the mold had open for writing when its heap was prepared."""
_witness: list[object] = []
"""The first object of this process: while the collector finds it, it finds all that came after it."""
_ended: list[object] = []
"""What is finalized, held until the process has ended: an object that died then would be finalized twice."""


@record
class Prepared:
    """What `prepare` did, for the mold's report."""

    mode: Mode
    """What is in force: `freeze` instead of `immortal` when there is a warning."""
    immortal: int
    """Objects made immortal."""
    seconds: float
    """Its duration."""
    warning: str | None
    """Why immortality is impossible here."""


def prepare(mode: Mode) -> Prepared:
    """Prepare the heap of this process to be shared by the workers that it will fork.

    Called when the application is imported and only forks follow. A worker that becomes a mold calls it again: what it
    has added to its inherited heap is shared from then on as well.
    """
    start = time.perf_counter()
    warning, immortal = None, 0
    if mode == "immortal" and (refusal := unsupported()) is not None:
        mode, warning = "freeze", f"share='immortal' is impossible, share='freeze' is used: {refusal}"
    # The collector is off while the walk makes its many short-lived lists. Afterwards it may run again: it does not see
    # what is frozen, and a mold that lives for months must not keep its own garbage.
    collecting = gc.isenabled()
    gc.disable()
    gc.unfreeze()
    if mode != "none":
        gc.collect()
        # A collection freezes immortal containers: a mold that was a worker has filled some since.
        gc.unfreeze()
    files = open_for_writing(gc.get_objects())
    _mold_files[:] = map(weakref.ref, files)
    if mode == "immortal":
        immortal = _make_immortal()
    if mode != "none":
        gc.freeze()
    if collecting:
        gc.enable()
    # What is still in a buffer at the fork would be written once more by each worker at its exit.
    flush(files)
    return Prepared(mode, immortal, time.perf_counter() - start, warning)


def newborn() -> None:
    """Undo what a process just forked must not inherit from its mold: the first thing that it does.

    The finalizers that run at exit are the mold's: the first worker to end would delete the mold's temporary
    directories. They still run when their object is no longer referenced. The collector is on or off as the application
    had it, and CPython seeds the generator behind `random.random()` again at each `os.fork`.
    """
    global _witness
    _witness = []
    for finalizer in list(_finalizers):
        finalizer.atexit = False


def before_exit() -> None:
    """Write the buffers of this process's files, and have later lines written at once: exit handlers may never end."""
    flush(_files(_own_objects()), then_by_line=True)


def at_exit() -> None:
    """Finalize this process's own objects and write the buffers of its files: after exit handlers, the last thing."""
    _ended[:] = _own_objects()
    files = _files(_ended)
    flush(files)
    finalize(_ended)
    flush(files)


def _own_objects() -> list[object]:
    """Return the objects that the collector tracks and that are not the mold's, whose pages stay shared so.

    Where the application has frozen its heap in the worker, and in the mold, all objects: what is frozen is not found.
    Immortal ones are never collected, and so they are not finalized.
    """
    own = gc.get_objects()
    if not any(each is _witness for each in own) and sys.getrefcount(_mold_files) != _IMMORTAL:
        gc.unfreeze()
        own = gc.get_objects()
    return own


def _files(own: list[object]) -> list[io.IOBase]:
    """Return this process's open files. The mold's, too: a worker has a copy of their buffers, which it may fill."""
    return [*open_for_writing(own), *(file for each in _mold_files if (file := each()) is not None)]


def unsupported() -> str | None:
    """Return why this interpreter cannot make objects immortal, as text for the log; None when it can."""
    free_threaded, debug = "t" in sys.abiflags, hasattr(sys, "gettotalrefcount")
    refusal = _refused(sys.implementation.name, sys.version_info[:2], free_threaded, debug)
    if refusal is not None:
        return refusal
    try:
        # Imported here, since a mold that only freezes does without ctypes.
        from ctypes import c_uint64
    except ImportError as error:
        return f"ctypes is missing: {error}"
    mortal = object()
    counts = c_uint64.from_address(id(None)).value, c_uint64.from_address(id(mortal)).value
    if counts != (_IMMORTAL, 1):
        return "objects have an unknown layout (None counts {:#x}, a new object {:#x})".format(*counts)
    return None


def _refused(implementation: str, version: tuple[int, int], free_threaded: bool, debug: bool) -> str | None:
    if implementation != "cpython":
        return f"{implementation} does not count references as CPython does"
    name = "CPython {}.{}".format(*version)
    if version < (3, 12):
        return f"{name} has no immortal objects (they came with 3.12)"
    if version > (3, 13):
        return f"{name} marks immortal objects in another way than 3.12 and 3.13"
    if free_threaded:
        return f"{name} is a free-threaded build, whose objects have two counts"
    if debug:
        return f"{name} is a debug build, which counts all references"
    return None


def _make_immortal() -> int:
    """Make all objects immortal but those of `_LEFT_ALONE`; return how many.

    Immortality is also the mark of a visit, so the walk needs no table as large as the heap. It begins at each object
    that the collector tracks, and follows from there only objects that it does not track. Types are compared, since
    `isinstance` reads `__class__`, which on a lazy proxy runs the application's code.
    """
    from ctypes import c_uint64

    count_at, referents, is_tracked = c_uint64.from_address, gc.get_referents, gc.is_tracked
    made = 0
    for tracked in gc.get_objects():
        if type(tracked) in _LEFT_ALONE:
            continue
        count = count_at(id(tracked))
        if not count.value & _NEGATIVE:
            count.value = _IMMORTAL
            made += 1
        reached = referents(tracked)
        while reached:
            obj = reached.pop()
            if is_tracked(obj):
                continue
            count = count_at(id(obj))
            # A frame is not tracked while its call lasts.
            if count.value & _NEGATIVE or type(obj) in _LEFT_ALONE:
                continue
            count.value = _IMMORTAL
            made += 1
            reached += _held_by_code(obj) if type(obj) is CodeType else referents(obj)
    return made


def _held_by_code(code: CodeType) -> list[object]:
    """Return what a code object refers to: the collector does not know, since it tracks no code.

    Without fields like `co_varnames`, whose tuples are made when they are read.
    """
    tables = [code.co_linetable, code.co_exceptiontable]
    return [code.co_consts, code.co_names, code.co_name, code.co_qualname, code.co_filename, *tables]
