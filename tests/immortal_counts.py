"""The counts of immortal objects, which nothing may move: read in a mold with an immortal heap and in its workers."""

from __future__ import annotations

import array
import ctypes
import gc
from types import CodeType

from prefork._worker.immortal.layout import NEGATIVE

_at = ctypes.c_uint64.from_address


class Counts:
    """All immortal objects of this process, and their counts at a moment."""

    def __init__(self) -> None:
        """Find the objects. Frozen ones are found by thawing them, so this is for a mold before its first fork."""
        gc.disable()
        gc.unfreeze()
        seen, found = set[int](), list[object](gc.get_objects())
        while found:
            each = found.pop()
            if id(each) in seen or not _at(id(each)).value & NEGATIVE:
                continue
            seen.add(id(each))
            found += gc.get_referents(each)
            if type(each) is CodeType:
                found += [each.co_consts, each.co_names, each.co_linetable, each.co_name, each.co_qualname]
        gc.freeze()
        self.addresses = array.array("Q", seen)
        self.counts = array.array("Q", bytes(8 * len(seen)))
        self.take()

    def take(self) -> None:
        """Remember the counts as they are now."""
        for at, address in enumerate(self.addresses):
            self.counts[at] = _at(address).value

    def moved(self) -> dict[str, int]:
        """Return the objects whose count is another one now, as text, and by how much."""
        return {
            f"{ctypes.cast(address, ctypes.py_object).value!r:.80}": _at(address).value - count
            for address, count in zip(self.addresses, self.counts, strict=True)
            if _at(address).value != count
        }
