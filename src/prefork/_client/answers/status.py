"""The state of a daemon, as `hello`, `status` and `explain` answer."""

from __future__ import annotations

from typing import Literal, TypedDict

from .event import Event


class Hello(TypedDict):
    """Which daemon this is, and how many of its slots are served."""

    protocol: int
    name: str
    pid: int
    started: float
    directory: str | None
    target: str
    model: Literal["daemon", "hooks"]
    ready: int
    wanted: int
    stopping: bool
    journal: bool


class Judged(TypedDict):
    """What workers have counted since the count of a bake began; `p95` in seconds."""

    requests: int
    errors: int
    p95: float


class Compared(TypedDict):
    """The new workers of one pool, and the old ones, at the last comparison."""

    pool: str
    new: Judged
    old: Judged


class Bake(TypedDict):
    """A judged reload that has no verdict yet; times are None before its canaries are ready."""

    canaries: list[str]
    begun: float | None
    until: float | None
    settling: float
    least: int
    held: bool
    figures: list[Compared]


class Change(TypedDict):
    """A change that is under way or waits; `left`: slots that have not reached their target."""

    what: str
    slot: str | None
    stage: str
    to: int
    left: int
    why: str
    bake: Bake | None


class PoolSize(TypedDict):
    """The size of a pool, and the size that the plan gives it."""

    pool: str
    size: int
    planned: int
    min: int
    max: int


class ListenerState(TypedDict):
    """A listener with its actual address."""

    name: str
    address: str
    sharing: Literal["shared", "sharded"]
    backlog: int
    auxiliary: bool


class MoldState(TypedDict):
    """A mold; `failures` and `failed_forks` are counted in a row."""

    generation: int
    pid: int | None
    state: str
    spares: int
    since: float
    failures: int
    failed_forks: int
    reason: str


class ProcessState(TypedDict):
    """A worker that leaves its slot to a newer one."""

    pid: int
    state: str
    generation: int
    since: float


class SlotState(TypedDict):
    """A slot, with its newest worker; the older ones are in `leaving`."""

    key: str
    kind: str
    auxiliary: bool
    state: str
    pid: int | None
    generation: int | None
    since: float | None
    serving: bool
    exchanging: bool
    leaving: list[ProcessState]
    restarts: int
    failures: int
    last_exit: str
    retry_at: float | None
    why: str


class Outcomes(TypedDict):
    """How many changes of a kind were done and failed, and the outcome of the last one."""

    done: int
    failed: int
    outcome: str
    time: float
    seconds: float


class Counts(TypedDict):
    """Counts since the master started: by pool and cause or verdict, by pool, and by kind of change."""

    ends: dict[str, dict[str, int]]
    hung: dict[str, dict[str, int]]
    stuck: dict[str, dict[str, int]]
    cut: dict[str, int]
    starved: dict[str, int]
    changes: dict[str, Outcomes]


class Status(TypedDict):
    """The state of a daemon. A daemon with hooks has no pools, molds and listeners."""

    name: str
    pid: int
    python: str
    started: float
    time: float
    directory: str | None
    target: str
    model: Literal["daemon", "hooks"]
    generation: int
    stopping: bool
    change: Change | None
    queue: list[Change]
    overrides: dict[str, int]
    pools: list[PoolSize]
    listeners: list[ListenerState]
    counts: Counts
    molds: list[MoldState]
    slots: list[SlotState]


class Explanation(TypedDict):
    """A slot, None if it is no longer planned, and its recent events."""

    time: float
    slot: SlotState | None
    events: list[Event]
