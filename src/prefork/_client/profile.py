"""A profile as a reader writes it: read, and checked, since the reader has the user of the workers."""

from __future__ import annotations

import json
from io import FileIO
from typing import Any, cast

from .._errors import CommandFailedError
from .answers.report import Profile

LONGEST = 16 << 20
"""Bytes of a profile, at most."""

_PIECE = 65536


def parsed(file: FileIO) -> Profile:
    """Return a profile, once it is whole. Raises CommandFailedError if there is none, with the reason."""
    pieces, size = [], 0
    while size <= LONGEST and (piece := file.read(_PIECE)):
        pieces.append(piece)
        size += len(piece)
    return checked(b"".join(pieces))


def checked(data: bytes) -> Profile:
    """Return a profile. Raises CommandFailedError."""
    try:
        found = json.loads(data) if len(data) <= LONGEST else None
    except (ValueError, RecursionError):
        found = None
    profile: dict[str, Any] = found if isinstance(found, dict) else {}
    match profile:
        case {"error": str(why)}:
            raise CommandFailedError(f"no profile: {why}")
        case {"by": str(), "complete": bool(), "seconds": float() | int(), "workers": dict(), "stacks": dict(stacks)}:
            if all(type(count) is int and count > 0 for count in stacks.values()):
                return cast(Profile, profile)
    raise CommandFailedError("no profile: the reader has ended early, or wrote something else")
