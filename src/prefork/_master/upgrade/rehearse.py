"""The rehearsal: a copy of the master's state is read, decided with and written again, in a process of its own."""

from __future__ import annotations

import json
from time import monotonic

from ..._core.events import DeadlinePassed
from ..._core.supervisor import Supervisor
from ..._linux import memfd
from ..._records.plain import made, plain
from ..kept.records import KeptMaster
from .restore import Former, read


def rehearse(snapshot: int, libraries: str) -> int:
    """Print an answer as JSON, which `child` reads; what fails is the last line of a traceback."""
    former = read(memfd.read(snapshot), libraries)
    _compare(former)
    Supervisor.restore(former.supervisor.snapshot()).handle(DeadlinePassed(), monotonic())
    print(json.dumps({"ok": True, "other_version": former.other_version}))
    return 0


def _compare(former: Former) -> None:
    """Raise ValueError unless what was read is the same once it has been written and read again."""
    again = Supervisor.restore(former.supervisor.snapshot())
    if again.snapshot() != former.supervisor.snapshot():
        raise ValueError("the supervisor's state changes when it is written and read again")
    if made(KeptMaster, plain(KeptMaster, former.kept)) != former.kept:
        raise ValueError("the master's parts change when they are written and read again")
