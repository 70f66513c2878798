"""One look at the daemon, as the families need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..._errors import PreforkError
from ..._linux.listening.backlogs import backlogs
from ..source import Source
from .limits import limits
from .seen import Seen

T = TypeVar("T")


def look(source: Source) -> Seen:
    """Return the daemon as it is now, without what cannot be read: the master may be stopped, or gone."""
    status, reading = _or_none(source.status), _or_none(source.reading)
    usage = _or_none(source.processes) if status is not None else None
    return Seen(reading, status, usage or {}, backlogs(), limits())


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except PreforkError:
        return None
