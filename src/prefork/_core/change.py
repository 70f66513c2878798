"""A change of the plan or of the code, as data; `rollout.py` has its course."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .._records.members import field
from .._records.record import mutable

if TYPE_CHECKING:
    from .commands import Reload
    from .judge.bake import Bake
    from .plan import Listener, Plan
    from .slot import Slot, Target

What = Literal["start", "reload", "replan", "restart", "back"]
ChangeStage = Literal["queued", "planning", "binding", "rolling"]


@mutable
class Change:
    """A change under way: it is applied as a whole, or rolled back as a whole."""

    what: What
    askers: list[int]
    key: str = ""
    dry: bool = False  # a preview: planned only
    cause: str = ""  # what requested it, in words
    stage: ChangeStage = "queued"
    generation: int = 0
    plan: Plan | None = None
    before: dict[str, Target | None] = field(default_factory=dict)  # the former targets of the slots that were moved
    pending: dict[str, Target] = field(default_factory=dict)  # targets of slots not yet moved, by key
    flight: dict[str, None] = field(default_factory=dict)  # keys moved and not settled
    opened: tuple[Listener, ...] = ()  # listeners that the plan in force does not have
    canaries: dict[str, None] = field(default_factory=dict)  # keys whose workers must be ready before others are moved
    wish: Reload | None = None  # how a client wants it judged
    bake: Bake | None = None  # of a judged reload
    judgement: str = ""  # for its outcome
    former: dict[int, None] = field(default_factory=dict)  # replaced workers, for whose end a settled change waits
    deadline: float | None = None  # the end of that wait

    @property
    def name(self) -> str:
        """Return its name in logs and replies."""
        return "preview" if self.dry else self.what

    @property
    def on_trial(self) -> bool:
        """Whether its first workers have no verdict yet: any end of one is a failure."""
        return self.bake is not None and not self.bake.over

    def has_moved(self, slot: Slot) -> bool:
        """Return whether the slot has a target of this change; one of a change that this superseded does not count."""
        return slot.key in self.before and slot.target is not None and slot.target.generation == self.generation


@mutable
class Former:
    """What is kept of the generation before the one in force, until `deadline`."""

    generation: int
    plan: Plan
    deadline: float | None
