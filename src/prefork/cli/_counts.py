"""What the scoreboard says of the slots' load."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._errors import WorldError
from .._linux.scoreboard import Scoreboard
from ..client import Client


@dataclass(slots=True)
class Load:
    """One slot's: what its workers have counted, living and dead, and what the living ones do, by pid."""

    requests: int = 0
    errors: int = 0
    in_flight: dict[int, int] = field(default_factory=dict)
    doing: dict[int, str] = field(default_factory=dict)


def loads(client: Client) -> dict[str, Load]:
    """Return each slot's load by its key; nothing where there is no scoreboard to be had."""
    try:
        descriptor = client.scoreboard()
    except WorldError:
        return {}
    try:
        board = Scoreboard(descriptor.fileno(), writable=False)
    except (OSError, ValueError):
        return {}  # Of another version.
    finally:
        descriptor.close()
    found: dict[str, Load] = {}
    for row in board.read().rows:
        if row.state == "unused":
            continue
        load = found.setdefault(row.name, Load())
        load.requests += row.requests + row.before_requests
        load.errors += row.errors + row.before_errors
        if row.state != "ended":
            load.in_flight[row.pid] = row.in_flight
            if row.in_flight and row.label:
                load.doing[row.pid] = row.label
    board.close()
    return found
