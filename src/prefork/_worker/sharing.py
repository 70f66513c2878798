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
import time
import weakref
from typing import Literal

from .._records.record import record
from .finish import finalize, flush, open_for_writing

Mode = Literal["freeze", "immortal", "none"]

_finalizers = weakref.finalize._registry  # type: ignore[attr-defined]
native_threads = 0
"""How many threads libraries had in the mold when it forked."""
lost_threads = False
"""Whether the mold had threads of Python when it forked that this worker does not have."""
_mold_files: list[weakref.ref[io.IOBase]] = []
"""What the mold had open for writing when its heap was prepared."""
_witness: list[object] = []
"""The first object of this process: while the collector finds it, it finds all that came after it."""
_immortal = False
"""Whether the mold's objects are immortal."""
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
    global _immortal
    start = time.perf_counter()
    warning, immortal = None, 0
    if mode == "immortal" and (refusal := _unsupported()) is not None:
        mode, warning = "freeze", f"share='immortal' is impossible, share='freeze' is used: {refusal}"
    # The collector is off while the walk makes its many short-lived lists. Afterwards it may run again: it does not see
    # what is frozen, and a mold that lives for months must not keep its own garbage.
    collecting = gc.isenabled()
    gc.disable()
    if not _immortal:
        gc.unfreeze()
    if mode != "none":
        # While immortal containers are frozen: those that a collection finds are not tracked any more from CPython 3.14
        # on, and the walk begins at what is tracked. A mold that was a worker has filled some since.
        gc.collect()
        gc.unfreeze()
    files = open_for_writing(gc.get_objects())
    _mold_files[:] = map(weakref.ref, files)
    if mode == "immortal":
        from .immortal.heap import make_immortal

        immortal, _immortal = make_immortal(), True
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
    if not any(each is _witness for each in own) and not _immortal:
        gc.unfreeze()
        own = gc.get_objects()
    return own


def _files(own: list[object]) -> list[io.IOBase]:
    """Return this process's open files. The mold's, too: a worker has a copy of their buffers, which it may fill."""
    return [*open_for_writing(own), *(file for each in _mold_files if (file := each()) is not None)]


def _unsupported() -> str | None:
    # Imported here, as the walk is: a mold that only freezes needs neither.
    from .immortal.support import unsupported

    return unsupported()
