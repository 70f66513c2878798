"""What a daemon reports of its workers, and what a reload would change."""

from __future__ import annotations

from typing import TypedDict


class Difference(TypedDict):
    """What a reload or a replan would change: slots by key, listeners by name with their addresses."""

    text: str
    of: str
    added: list[str]
    removed: list[str]
    replaced: dict[str, list[str]]
    renewed: list[str]
    kept: list[str]
    opened: dict[str, str]
    closed: dict[str, str]


class Stacks(TypedDict):
    """The stacks of one process, as `text`."""

    slot: str
    pid: int
    generation: int
    verdict: str
    doing: str
    busy_for: float
    text: str


class Usage(TypedDict):
    """Processor time, and peak memory in bytes; None if the kernel did not tell."""

    user: float | None
    system: float | None
    memory: int | None


class Crash(TypedDict):
    """A crash report; `status` is an exit status, or minus a signal, `output` the last lines of the worker."""

    number: int
    time: float
    slot: str
    pid: int
    generation: int
    status: int
    reason: str
    doing: str
    usage: Usage
    output: list[str]
    failure: str
    hang: str


class Sampled(TypedDict):
    """A worker of a profile, and how many samples were taken and missed."""

    pid: int
    samples: int
    missed: int


class Profile(TypedDict):
    """A profile: how often each stack was seen, with its frames from the outermost on, separated by semicolons."""

    by: str
    complete: bool
    seconds: float
    workers: dict[str, Sampled]
    stacks: dict[str, int]
