"""What a master must have in common with a killed one whose workers it adopts."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from ..._wire import scoreboard
from ..._wire.agreement import agreement
from ..._wire.metrics import arena

if TYPE_CHECKING:
    from ..._wire.launch import MasterLaunch

AGREEMENT = agreement()  # Now: an update may replace the files of this version while it runs.


def program_of(launch: MasterLaunch) -> dict[str, Any]:
    """Return what a master must have in common with the one whose workers it adopts, as JSON has it."""
    identity = launch.identity
    return {
        "name": launch.name,
        "target": launch.target,
        "uid": os.geteuid(),
        "user": None if identity is None else [identity.uid, identity.gid, list(identity.groups)],
        "capture": launch.options.capture,
        "python": ".".join(map(str, sys.version_info[:2])),
        "protocol": [AGREEMENT, scoreboard.VERSION, arena.VERSION],
    }


_DIFFERENCES = {
    "name": "its name is another one",
    "target": "it runs another program",
    "uid": "it has another user",
    "user": "its application has another user",
    "capture": "only one of them captures output",
    "python": "it has another version of Python",
    "protocol": "it is another version of prefork",
}


def difference(former: dict[str, Any], present: dict[str, Any]) -> str:
    """Return what is not the same, in words; empty if all is."""
    return next((text for name, text in _DIFFERENCES.items() if former.get(name) != present[name]), "")
