"""All that the families are made of, at one moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._linux.listening.backlogs import Backlog
from ..._wire.keys import kind_in
from ...scoreboard import Reading
from ..source import Usage

AGENT = "agent"
"""The pool of the agent itself, which serves nothing of the application."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The control group of the daemon: bytes used and allowed (None: no limit), and seconds that it was throttled."""

    memory: int | None = None
    memory_limit: int | None = None
    throttled: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A reading of the scoreboard, the status, and what /proc says of each process and of the control group.

    The first two are None if they cannot be read. `backlogs`: the listening sockets of the machine, by address.
    """

    reading: Reading | None
    status: Mapping[str, Any] | None
    usage: Mapping[int, Usage] = field(default_factory=dict)
    backlogs: Mapping[str, Backlog] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def slots(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the slots of the application with their pools."""
        for slot in self.status["slots"] if self.status is not None else ():
            pool = kind_in(slot["key"])
            if pool != AGENT:
                yield pool, slot
