"""A slot as data: its target, its processes and their phases.

Two rules hold. A process changes its phase only by a row of `LIFE`: a fact or an order without a row is late or
repeated, and changes nothing. And each phase in which the supervisor waits has its deadline from `patience`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .._records.members import field
from .._records.record import mutable, record

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


@record
class Target:
    """The desired state of a slot. A process is up to date exactly while its edition is its slot's.

    Editions are numbers that only grow: a new generation, another digest, other listeners and a restart each make one.
    To roll a change back is to restore the earlier target, with its earlier number.
    """

    edition: int
    generation: int
    entry: Entry
    kind: Kind
    listeners: tuple[Listener, ...]

    @property
    def holds_up_spares(self) -> bool:
        """Whether its mold forks no spare while a worker of it starts."""
        return self.entry.spawn == "fork" and not self.kind.auxiliary


@mutable
class Worker:
    """A process that has not been reaped. `target` is what it was ordered to be; a spare has none."""

    pid: int
    generation: int
    phase: Phase
    since: float
    target: Target | None = None
    deadline: float | None = None
    asked: bool = False  # to drain, so that its end is no failure
    drained: bool = False  # it is about to exit
    hastened: bool = False  # its drain is to end early
    cut: bool = False  # and it has been told so
    holder: str | None = None  # the slot that keeps this spare in reserve
    report: str = ""
    ready_at: float | None = None  # when it became ready
    hung_after: float | None = None  # it is killed since it hangs: the seconds that it was ready before
    backlogs: tuple[Listener, ...] = ()  # those that it was asked to accept before it exits

    def turn(self, turn: Turn, now: float, spec: Spec) -> bool:
        """Change the phase as `LIFE` says; return False, and change nothing, if it has no row."""
        phase = LIFE[self.phase].get(turn)
        if phase is None:
            return False
        self.phase = phase
        self.since = now
        if phase == "ready":
            self.ready_at = now
        patience = self.patience(spec)
        self.deadline = None if patience is None else now + patience
        return True

    def patience(self, spec: Spec) -> float | None:
        """Return the longest time in its phase, in seconds; None for no limit."""
        if self.phase in ("dismissed", "killed"):
            return spec.kill_timeout
        if self.target is None or self.phase in ("spare", "ready"):
            return None
        options = self.target.kind.options
        if self.phase == "starting":
            return options.start_timeout
        # What was never ready has nothing to finish.
        return options.drain_timeout if self.ready_at is not None else min(options.drain_timeout, spec.unready_timeout)


@mutable
class Slot:
    """The place of one worker, named by its key. It outlives its processes."""

    key: str
    target: Target | None = None
    why: str = ""  # what last changed its target
    ordered: int = 0  # the edition that was last ordered
    pids: list[int] = field(default_factory=list)  # its processes, oldest first
    reserve: int | None = None  # the spare reserved for it
    asking: int | None = None  # the generation whose mold is to fork for it
    spawning: Target | None = None  # of a `SpawnWorker` that has not been answered
    exchange: str | None = None  # the kind in which it holds a place for an exchange
    done: int = 0  # the edition that has ended and, by its restart policy, is not restarted
    failures: int = 0  # failed starts and early deaths in a row
    failed_starts: int = 0  # in a row
    deadline: float | None = None  # the end of the pause after a failed start
    waits: bool = False  # for the next start of its pool (`pace.Pace.waiting`)
    restarts: int = 0
    last_exit: str = ""

    @property
    def kind(self) -> str:
        """The name of its target's kind; empty without a target."""
        return "" if self.target is None else self.target.kind.name

    @property
    def auxiliary(self) -> bool:
        """Whether its target is of an auxiliary kind."""
        return self.target is not None and self.target.kind.auxiliary

    def retarget(self, target: Target | None, why: str) -> None:
        """Set a new target. Failures of the earlier one no longer count."""
        if target is None or self.target is None or target.edition != self.target.edition:
            self.failures = self.failed_starts = 0
            self.deadline = None
            self.waits = False
        self.target, self.why = target, why


def pause(spec: Spec, failures: int, chance: float) -> float:
    """Return the pause after `failures` in a row, in seconds; `chance` is a random number in 0..1."""
    if failures < 2:
        return 0.0
    # The exponent is bounded, since 2.0**1024 raises.
    whole = min(spec.backoff_max, spec.backoff_first * 2.0 ** min(failures - 2, 64))
    return whole * (1 - spec.jitter * chance)
