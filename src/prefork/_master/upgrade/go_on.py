"""The next program's first steps in the master's process: restore, then run; before the restore is whole, go back."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import NoReturn

from ..._errors import PreforkError
from ..._linux import memfd
from ..._records.plain import plain
from ..adoption.begin import begin
from ..kept.records import KeptMaster
from ..loop import Master
from ..program import complain, titles
from .restore import first_event, read, restored, settle
from .upgrade import Upgrade


def go_on(snapshot: int, libraries: str, why: str, back: Callable[[BaseException], NoReturn]) -> int:
    """Go on with the daemon that `snapshot` describes; return the exit status.

    `why`: the other program that was to go on could not. `back` executes the former program. It is called inside every
    `with`, and while the exception holds each object: nothing may be closed that the former program needs.
    """
    descriptors: list[int] = []
    try:
        former = read(memfd.read(snapshot), libraries)
        plain(KeptMaster, former.kept, descriptors)
        gc.freeze()
        title = f"prefork: master {former.launch.name}"
        show = titles(libraries)
        show(title)
        master = Master(former.log.form).__enter__()
        parts = restored(master, former, lambda words: show(f"{title} [{words}]"))
        parts.executor.replacing = Upgrade(parts)
        begin(parts)
    except BaseException as error:
        for number in (*descriptors, snapshot):
            if number >= 0:
                os.set_inheritable(number, True)
        back(error)
    os.close(snapshot)
    settle(parts, former, [number for number in descriptors if number >= 0])
    first, options = first_event(former, parts.basis.way.release, why), former.log
    del former  # All that was read: of 500 workers some megabytes.
    gc.enable()
    try:
        with parts.entered():
            return parts.run(first)
    except PreforkError as error:
        complain(options, str(error))
        return error.exit_code
