"""One slot's life, as data: its target, its processes, their states.

Two rules bind this module. No process changes its state but by a row of `LIFE`; a fact or an order without
a row there is late, or said twice, and changes nothing. And whatever state is waited in has its deadline
from `patience`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .plan import Entry, Kind, Listener, Spec

Phase = Literal["spare", "dismissed", "starting", "ready", "draining", "killed"]
Turn = Literal["order", "dismiss", "ready", "drain", "kill", "deadline"]

LIFE: dict[Phase, dict[Turn, Phase]] = {
    "spare": {"order": "starting", "dismiss": "dismissed", "kill": "killed"},
    "dismissed": {"kill": "killed", "deadline": "killed"},
    "starting": {"ready": "ready", "drain": "draining", "kill": "killed", "deadline": "killed"},
    "ready": {"drain": "draining", "kill": "killed"},
    "draining": {"kill": "killed", "deadline": "killed"},
    "killed": {"kill": "killed", "deadline": "killed"},
}
"""phase x turn -> phase. The end of the process leads out of every phase."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a slot shall hold. A process is up to date exactly while its edition is its slot's.

    Editions are numbers that only grow: a new generation, another digest, other listeners or a wanted
    restart each make one, and to take a change back is to put the earlier target, with its earlier number, in
    its place again.
    """

    edition: int
    generation: int
    entry: Entry
    kind: Kind
    listeners: tuple[Listener, ...]


@dataclass(slots=True)
class Worker:
    """A process that has not been reaped. `target` is what it was ordered to be; a spare has none."""

    pid: int
    generation: int
    phase: Phase
    since: float
    target: Target | None = None
    deadline: float | None = None
    asked: bool = False  # we told it to go, so that its end is no failure
    drained: bool = False  # it has, and is about to end
    holder: str | None = None  # the slot that keeps this spare in reserve
    report: str = ""
    hung: bool = False  # we kill it for that; it was well before
    abandoned: tuple[Listener, ...] = ()  # what it was told that nobody takes over

    def turn(self, turn: Turn, now: float, spec: Spec) -> bool:
        """Go where `LIFE` leads; False, and nothing changes, where it leads nowhere."""
        phase = LIFE[self.phase].get(turn)
        if phase is None:
            return False
        self.phase = phase
        self.since = now
        patience = self.patience(spec)
        self.deadline = None if patience is None else now + patience
        return True

    def patience(self, spec: Spec) -> float | None:
        """How long it may stay in its phase, in seconds; None for as long as it likes."""
        if self.phase in ("dismissed", "killed"):
            return spec.kill_timeout
        if self.target is None or self.phase in ("spare", "ready"):
            return None
        options = self.target.kind.options
        return options.start_timeout if self.phase == "starting" else options.drain_timeout


@dataclass(slots=True)
class Slot:
    """The place in the wanted set that one key names. It outlives the processes that fill it."""

    key: str
    target: Target | None = None
    why: str = ""  # it wants this: who or what last changed its target
    ordered: int = 0  # the edition that was last ordered
    pids: list[int] = field(default_factory=list)  # all that live here, oldest first
    reserve: int | None = None  # a spare that nobody else may have
    asking: int | None = None  # the generation whose mold owes us a birth
    spawning: Target | None = None  # an exec that has not been answered
    exchange: str | None = None  # its process is being exchanged, on this kind's account
    done: int = 0  # the edition that has ended and, by its restart policy, stays so
    failures: int = 0  # in a row
    deadline: float | None = None  # the end of the pause after a failure
    restarts: int = 0
    last_exit: str = ""

    def retarget(self, target: Target | None, why: str) -> None:
        """Want something else here. What went wrong before is no fault of the new target."""
        if target is None or self.target is None or target.edition != self.target.edition:
            self.failures = 0
            self.deadline = None
        self.target, self.why = target, why


def pause(spec: Spec, failures: int, chance: float) -> float:
    """How long to wait after so many failures in a row, in seconds; `chance` is a random number in 0..1."""
    if failures < 2:
        return 0.0
    # The exponent is bounded, since a float is not: 2.0**1024 raises.
    whole = min(spec.backoff_max, spec.backoff_first * 2.0 ** min(failures - 2, 64))
    return whole * (1 - spec.jitter * chance)
