"""The walk over the heap that makes its objects immortal."""

from __future__ import annotations

import gc
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType

from .constants import settle
from .layout import FLAGS, IMMORTAL, NEGATIVE

# The interpreter needs their counts: a frame's says whether it outlives its call, and the `finally` of a generator runs
# when its count is 0.
_LEFT_ALONE = frozenset({FrameType, GeneratorType, CoroutineType, AsyncGeneratorType})


def make_immortal() -> int:
    """Make all objects immortal but those of `_LEFT_ALONE`; return how many.

    Immortality is also the mark of a visit, so the walk needs no table as large as the heap. It begins at each object
    that the collector tracks, and follows from there only objects that it does not track. Types are compared, since
    `isinstance` reads `__class__`, which on a lazy proxy runs the application's code. All code that can still run is
    found by its function: a frame, also a suspended one, holds the function that it is a call of.
    """
    from ctypes import c_uint64

    count_at, referents, is_tracked = c_uint64.from_address, gc.get_referents, gc.is_tracked
    made, codes = 0, list[CodeType]()
    for tracked in gc.get_objects():
        if type(tracked) in _LEFT_ALONE:
            continue
        count = count_at(id(tracked))
        if not count.value & NEGATIVE:
            count.value = count.value & FLAGS | IMMORTAL
            made += 1
        reached = referents(tracked)
        while reached:
            obj = reached.pop()
            if is_tracked(obj):
                continue
            count = count_at(id(obj))
            # A frame is not tracked while its call lasts.
            if count.value & NEGATIVE or type(obj) in _LEFT_ALONE:
                continue
            count.value = count.value & FLAGS | IMMORTAL
            made += 1
            if type(obj) is CodeType:
                codes.append(obj)
                reached += _held_by_code(obj)
            else:
                reached += referents(obj)
    # Last, since other threads run code meanwhile: from here on all constants are immortal.
    settle(codes)
    return made


def _held_by_code(code: CodeType) -> list[object]:
    """Return what a code object refers to: the collector does not know, since it tracks no code.

    Without fields like `co_varnames`, whose tuples are made when they are read.
    """
    tables = [code.co_linetable, code.co_exceptiontable]
    return [code.co_consts, code.co_names, code.co_name, code.co_qualname, code.co_filename, *tables]
