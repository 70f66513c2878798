"""Profiles of workers for clients: a reader takes samples, and writes its result into a pipe that the client reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..._records.record import record
from ..control.view import Refused
from .start import start

if TYPE_CHECKING:
    from ..births.processes import Processes
    from ..births.start import Interpreter
    from ..loop import Master

MOST = 4
"""Readers that take samples at a time: each may use a tenth of a processor."""

_GRACE = 15.0
"""Seconds that a reader may take besides those that it is asked for, on a busy machine."""


@record
class Sampling:
    """What a client asks for: samples for `seconds`, `rate` times a second; `idle`: of threads that wait, too."""

    seconds: float = 10.0
    rate: int = 100
    idle: bool = False


class Profiles:
    """The readers of one daemon that take samples."""

    def __init__(self, master: Master, processes: Processes, interpreter: Interpreter) -> None:
        self._master = master
        self._processes = processes
        self._interpreter = interpreter
        self._running: set[int] = set()

    def begin(self, workers: Mapping[str, int], sampling: Sampling) -> int:
        """Start to sample workers, by slot; return a descriptor to read the profile from. Raises Refused."""
        try:
            reader, writer = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            raise Refused(f"no descriptor is left for a profile: {error.strerror}") from None
        try:
            self.write(workers, sampling, writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return reader

    def write(self, workers: Mapping[str, int], sampling: Sampling, output: int, largest: int = 0) -> None:
        """Start to sample workers; the profile is written to `output`, see `start`. Raises Refused."""
        self._running = {pid for pid in self._running if self._processes.is_ours(pid)}
        if len(self._running) >= MOST:
            raise Refused(f"{MOST} profiles are being taken: wait for one to end")
        wanted = {"workers": dict(workers), "seconds": sampling.seconds, "rate": sampling.rate, "idle": sampling.idle}
        try:
            child = start(self._interpreter, ("profile", json.dumps(wanted)), output, largest)
        except OSError as error:
            raise Refused(f"no reader could be started: {error.strerror}") from None
        self._running.add(child)
        self._processes.add_helper(child)
        self._master.later(sampling.seconds + _GRACE, lambda: self._processes.kill_helper(child))
