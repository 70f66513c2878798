"""Begins what a master does for its successor, and with what its predecessor has left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .memo import Memo

if TYPE_CHECKING:
    from ..parts import Parts


def begin(parts: Parts) -> None:
    """Note the daemon from now on; give the parts what is to be adopted, if there is anything. Raises OSError."""
    memo = Memo(parts)
    parts.observers.insert(0, memo)  # What the log says has been noted.
    parts.basis.runtime.moved = memo.write_again
    if (adopted := parts.basis.adopted) is not None:
        from .adopt import install  # Late, as in `left`.

        install(parts, adopted)
