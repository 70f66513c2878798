"""What a master notes for the next one, which may have to adopt its workers."""

from __future__ import annotations

from typing import Any

from ..._records.plain import Descriptor
from ..._records.record import record_by_name
from ..hangs.watch import WatchedWorker
from ..kept.records import KeptBoard, KeptListeners
from .marks import Mark


@record_by_name
class KeptDaemon:
    """A daemon as its next master finds it, beside the state of its supervisor.

    `number` grows with each note (nanoseconds, monotonic). `realm`: the boot and the pid namespace. `program`: what
    must not have changed. `marks`: what each descriptor is known by that workers hold, too. `shared`: the lifeline, the
    scoreboard, the memory for stacks and for metrics. `workers`: what each process was ordered to be. `captured`: the
    pipes of each captured worker (standard output, standard error).
    """

    number: int
    realm: int
    program: dict[str, Any]
    marks: dict[int, Mark]
    shared: tuple[Descriptor, Descriptor, Descriptor, Descriptor]
    board: KeptBoard
    workers: dict[int, WatchedWorker]
    draining: tuple[int, ...]
    listeners: KeptListeners
    captured: dict[int, tuple[Descriptor, Descriptor]]
