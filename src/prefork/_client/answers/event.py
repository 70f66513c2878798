"""An event, as the control socket sends it."""

from __future__ import annotations

from typing import Required, TypedDict


class Event(TypedDict, total=False):
    """An event. Its members depend on `event`; only an event `lost` has no `number` and no `time`."""

    event: Required[str]
    number: int
    time: float
    slot: str
    pid: int
    generation: int
    after: float
    by: str
    command: str
    what: str
    stage: str
    left: int
    text: str
    pool: str | None
    size: int | None
    of: str
    judge: bool
    bake: float
    canary_share: int
    judge_min_requests: int
    judge_insufficient: str
    signal: int | str
    status: int
    reason: str
    why: str
    doing: str
    worked: bool
    verdict: str
    seconds: float
    excused: float
    report: str
    workers: int
    pids: list[int]
    count: int
