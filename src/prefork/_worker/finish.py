"""The end of a process's files and objects, in place of the interpreter's teardown.

The teardown of modules takes 40 ms for a small application and a second for a large one. It copies the pages that the
workers share, and it runs into the threads of extensions. So molds and workers end without it, as multiprocessing ends
its processes, and what an application expects of it is done here: buffers are written, and `__del__` is called.
"""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Callable, Iterable
from types import WrapperDescriptorType

_WRITERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
_FLUSHED = (*_WRITERS, io.BufferedReader, io.BufferedRWPair, io.FileIO, io.BytesIO, io.StringIO)
"""Files that need no more than a flush. Others have an end to write: `gzip`, for one."""


def open_for_writing(objects: Iterable[object]) -> list[io.IOBase]:
    """Return the files with a write buffer. Types are asked: `__class__` of a lazy proxy runs an application's code."""
    return [each for each in objects if issubclass(type(each), _WRITERS)]  # type: ignore[misc]


def flush(files: Iterable[io.IOBase], then_by_line: bool = False) -> None:
    """Flush files and the standard streams; `then_by_line`: from now on each line is written at once."""
    for file in [*files, sys.stdout, sys.stderr]:
        try:
            file.flush()
            if then_by_line and isinstance(file, io.TextIOWrapper):
                file.reconfigure(line_buffering=True)
        except Exception:
            # Closed, detached, full, without a reader, or an object of the application's: a plain exit loses its buffer
            # silently, too, and no mold or worker may fail for that.
            continue


def finalize(objects: list[object]) -> None:
    """Call the finalizers of these objects, those in C apart: they free what the kernel frees, too.

    What one raises is printed, as at any exit.
    """
    kinds = {id(kind): kind for kind in map(type, objects)}  # By id: the metaclass of a class may make it unhashable.
    finalizers = {number: found for number, kind in kinds.items() if (found := _finalizer(kind)) is not None}
    for each in objects:
        finalizer = finalizers.get(id(type(each)))
        if finalizer is not None and not gc.is_finalized(each):
            try:
                if type(finalizer) is not WrapperDescriptorType or _has_an_end(each):  # type: ignore[arg-type]
                    finalizer(each)
            except BaseException:
                _print_ignored(finalizer)


def _has_an_end(file: io.IOBase) -> bool:
    """Return whether closing a file may write: one that is only read would wait for a thread that reads it."""
    return not file.closed and file.writable()


def _finalizer(kind: type) -> Callable[[object], object] | None:
    try:
        found: Callable[[object], object] = type.__getattribute__(kind, "__del__")
    except AttributeError:
        return None
    in_c = type(found) is WrapperDescriptorType
    return None if in_c and (not issubclass(kind, io.IOBase) or issubclass(kind, _FLUSHED)) else found


def _print_ignored(finalizer: object) -> None:
    import traceback

    try:
        print(f"Exception ignored in: {finalizer!r}\n{traceback.format_exc()}", end="", file=sys.stderr)
    except Exception:
        pass  # Standard error is closed, full or without a reader.
