"""The state of the supervisor, and the operations that its parts share."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Literal

from .._records.members import field
from .._records.record import mutable
from .actions import Announce, AskToDrain, CutDrain, DismissSpare, DrainBacklogs, KillWorker, Reply, Report
from .plan import Plan, Spec
from .restarts.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._options.records import DaemonOptions
    from .actions import Action, Stage
    from .change import Change, Former
    from .judge.bake import Bake
    from .plan import Listener
    from .slot import Slot, Turn, Worker

MoldPhase = Literal["importing", "warming", "ready", "planning", "ending", "paused"]


@mutable
class Mold:
    """The process that has imported one generation. It stays here while it is dead and is to be restarted."""

    generation: int
    phase: MoldPhase = "importing"
    since: float = 0.0
    deadline: float | None = None
    retired: bool = False  # its generation is over: not restarted
    warm: bool = True  # it may warm the application up, which has not failed
    foreign: bool = False  # its present process runs another version of Python, which cannot read this one's orders
    warmed: bool = False  # its present process has begun to: another time it would delay its plan without an end
    idle: list[int] = field(default_factory=list)  # spares, the next one last
    asking: dict[str, None] = field(default_factory=dict)  # keys that wait for a fork, first come first served
    stalled: dict[str, None] = field(default_factory=dict)  # keys that wait until the mold is able again
    pending_forks: int = 0  # ordered and not answered
    starting: int = 0  # workers ordered and not ready: no spare is forked meanwhile
    failures: int = 0
    failed_forks: int = 0  # in a row
    pause_until: float = 0.0  # no fork is ordered before
    extra: int = 0  # spares besides the usual ones, while one worker after another dies
    extra_until: float = 0.0
    last_death: float = 0.0  # when a worker died of its work
    reason: str = ""  # why it failed the last time, in a line


@mutable
class Scaling:
    """A pool on its way to another size, which a client waits for."""

    asker: int
    size: int
    deadline: float
    keys: dict[str, None]


@mutable
class Stopping:
    """The daemon stops: its exit status, the last report, and how many workers were killed for draining too long.

    `requested`: a person or a program wants it to end. Otherwise it has failed, and its orphans serve on for the next
    master.
    """

    status: int
    askers: list[int]
    last_words: str = ""
    killed: int = 0
    requested: bool = False


@mutable
class Upgrading:
    """The master is to replace its own program. `asker`: the number of the reply; 0 for none.

    `replacing`: the order has been given. Before that, what clients wait for is finished.
    """

    asker: int
    cause: str = ""
    replacing: bool = False


@mutable
class Orphan:
    """A worker of a dead master. `deadline`: it is killed then, and again each time that it passes."""

    pid: int
    drain_timeout: float
    since: float = 0.0
    deadline: float | None = None
    asked: bool = False  # to drain
    killed: bool = False


@mutable
class State:
    """What a snapshot holds; fields that take no part in comparison are work in progress within one event."""

    spec: Spec
    seed: int
    now: float = 0.0
    generation: int = 0  # the committed one; 0 before the first
    newest: int = 0
    edition: int = 0
    plan: Plan = field(default_factory=lambda: Plan((), ()))
    workers: dict[int, Worker] = field(default_factory=dict)
    slots: dict[str, Slot] = field(default_factory=dict)
    molds: dict[int, Mold] = field(default_factory=dict)
    overrides: dict[str, int] = field(default_factory=dict)
    change: Change | None = None
    queue: list[Change] = field(default_factory=list)
    scaling: dict[str, Scaling] = field(default_factory=dict)
    former: Former | None = None  # the generation to which a client may return
    stopping: Stopping | None = None
    upgrading: Upgrading | None = None
    worn: dict[int, str] = field(default_factory=dict)  # pids to be replaced, in order, and why
    recycling: str = ""  # the key that is being recycled
    exited: bool = False
    proven: bool = False  # a worker was ready once, so that no failure stops the daemon
    # Exchanges by kind: how many may be under way, which slots are, which slots wait.
    room: dict[str, int] = field(default_factory=dict)
    exchanging: dict[str, dict[str, None]] = field(default_factory=dict)
    lined_up: dict[str, dict[str, None]] = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)  # by kind
    untried: dict[str, None] = field(default_factory=dict)  # slots that have not failed yet
    lacking: dict[str, None] = field(default_factory=dict)  # slots with a target and no ready worker
    orphans: dict[int, Orphan] = field(default_factory=dict)  # by pid
    leaving: dict[str, None] = field(default_factory=dict)  # slots without a target that still have a process
    aside: dict[str, None] = field(default_factory=dict)  # auxiliary slots
    setback: str = ""  # how the last change failed; empty if it succeeded
    last_failure: str = ""
    last_words: str = ""  # the application's last report: not logged twice in a row
    actions: list[Action] = field(default_factory=list, compare=False)
    cause: str = field(default="", compare=False)  # of the present event, in words
    dirty_slots: dict[str, None] = field(default_factory=dict, compare=False)  # slots, in order
    dirty_molds: dict[int, None] = field(default_factory=dict, compare=False)  # molds
    kinds_with_room: dict[str, None] = field(default_factory=dict, compare=False)  # kinds that may have room again
    asked_now: dict[int, None] = field(default_factory=dict, compare=False)  # pids asked to drain in this answer
    heap: list[tuple[float, str, Any]] = field(default_factory=list, compare=False)
    heap_limit: int = field(default=64, compare=False)
    # What only the version knows whose snapshot was restored: it is written with the next one (`kept/values.py`).
    unknown: Mapping[int, tuple[Any, dict[str, Any]]] = field(default_factory=dict, compare=False)

    @property
    def options(self) -> DaemonOptions:
        """Return the daemon's options: those of the plan in force, or of the start."""
        return self.plan.options or self.spec.options

    def chance(self) -> float:
        """Return the next number in 0..1 (splitmix64, Steele, Lea and Flood 2014)."""
        self.seed = (self.seed + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        z = self.seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        return (z ^ (z >> 31)) / 2.0**64

    def next_edition(self) -> int:
        """Return a number that no target had before."""
        self.edition += 1
        return self.edition

    # Deadlines lie in the objects; the heap only finds them. An entry whose object has another deadline by now is
    # ignored, and such entries are removed when they may be half of the heap: no event pays for all slots.

    def expect(self, what: str, name: int | str, deadline: float | None) -> None:
        """Add the deadline of this worker, slot, mold, scaling, pool, orphan or change to the heap."""
        if deadline is None:
            return
        if len(self.heap) >= self.heap_limit:
            self.heap = list({entry: None for entry in self.heap if self.holds(entry)})
            heapq.heapify(self.heap)
            self.heap_limit = 64 + 2 * len(self.heap)
        heapq.heappush(self.heap, (deadline, what, name))

    def rebuild_heap(self) -> None:
        """Collect all deadlines, after a restore."""
        parts: tuple[tuple[str, dict[Any, Any]], ...] = (
            ("worker", self.workers),
            ("slot", self.slots),
            ("mold", self.molds),
            ("scaling", self.scaling),
            ("pace", self.paces),
            ("orphan", self.orphans),
            ("change", self.changing),
            ("bake", self.baking),
            ("former", self.keeping),
        )
        self.heap = [
            (thing.deadline, what, name)
            for what, things in parts
            for name, thing in things.items()
            if thing.deadline is not None
        ]
        heapq.heapify(self.heap)

    @property
    def changing(self) -> dict[int, Change]:
        """The change under way, by its generation."""
        return {} if self.change is None else {self.change.generation: self.change}

    @property
    def baking(self) -> dict[int, Bake]:
        """The bake of the change under way, by its generation."""
        bake = None if self.change is None else self.change.bake
        return {} if self.change is None or bake is None else {self.change.generation: bake}

    @property
    def keeping(self) -> dict[int, Former]:
        """The former generation that is kept, by its number."""
        return {} if self.former is None else {self.former.generation: self.former}

    def holds(self, entry: tuple[float, str, Any]) -> bool:
        """Return whether the object of this entry still has this deadline."""
        holders: dict[Any, Any] = getattr(self, _HOLDERS[entry[1]])
        thing = holders.get(entry[2])
        return thing is not None and thing.deadline == entry[0]

    def first_deadline(self) -> tuple[float, str, Any] | None:
        """Return the earliest deadline, with the kind and name of its object."""
        while self.heap:
            if self.holds(self.heap[0]):
                return self.heap[0]
            heapq.heappop(self.heap)
        return None

    # Operations on a process. Each is an order only if `slot.LIFE` has a row for it.

    def turn(self, worker: Worker, turn: Turn) -> bool:
        """Change the phase of a process, and the counts of its mold."""
        before = worker.phase
        if not worker.turn(turn, self.now, self.spec):
            return False
        if worker.deadline is not None:
            self.expect("worker", worker.pid, worker.deadline)
        if before == "starting":
            self.started(worker)
        if before == "ready":
            self.count_ready(worker, -1)
        elif worker.phase == "ready":
            self.count_ready(worker, 1)
        return True

    def set_deadline(self, worker: Worker, deadline: float) -> None:
        """Give a process another deadline in its phase."""
        worker.deadline = deadline
        self.expect("worker", worker.pid, deadline)

    def cut_drain(self, worker: Worker) -> None:
        """Have a worker that drains end in order now, unless it soon does by itself; it is killed where it has not."""
        if not worker.cut:
            worker.cut = worker.hastened = True
            end, cut = worker.since + (worker.patience(self.spec) or 0.0), self.now + self.spec.cut_timeout
            if cut < end:
                self.actions.append(CutDrain(worker.pid, self.spec.cut_timeout))
            self.set_deadline(worker, min(end, cut))

    def count_ready(self, worker: Worker, by: int) -> None:
        """Count a worker that has become ready (1), or is ready no more (-1)."""
        if worker.target is not None:
            kind = worker.target.kind.name
            pace = self.pace(kind)
            if pace.spent:
                pace.count(self.now, self.rate(kind), self.spec)
            pace.ready += by
            pace.down_since = None if pace.ready else self.now
            if pace.down:  # What waits for a fork may wait for less.
                self.dirty_molds.update({number: None for number, mold in self.molds.items() if mold.asking})

    def pace(self, kind: str) -> Pace:
        """Return the pace of a pool."""
        pace = self.paces.get(kind)
        if pace is None:
            pace = self.paces[kind] = Pace()
        return pace

    def rate(self, kind: str) -> float:
        """Return how many starts a second a pool has after the deaths of workers that were ready."""
        return self.spec.rate * self.room.get(kind, 1)

    def started(self, worker: Worker) -> None:
        """Note that a worker is no longer starting; its mold may fork spares again."""
        mold = self.molds.get(worker.generation)
        if mold is not None and worker.target is not None and worker.target.holds_up_spares:
            mold.starting -= 1
            self.dirty_molds[mold.generation] = None

    def drain(self, worker: Worker) -> None:
        """Ask a worker to drain, once; its backlogs follow if they are known only later."""
        if self.turn(worker, "drain"):
            worker.asked = True
            self.asked_now[worker.pid] = None
            worker.backlogs = self.backlogs_to_drain(worker)
            slot = worker.target and self.slots.get(worker.target.entry.key)
            self.actions.append(AskToDrain(worker.pid, worker.backlogs, slot.why if slot else ""))
        elif worker.phase == "draining" and (backlogs := self.backlogs_to_drain(worker)) and not worker.backlogs:
            worker.backlogs = backlogs
            self.actions.append(DrainBacklogs(worker.pid, backlogs))

    def backlogs_to_drain(self, worker: Worker) -> tuple[Listener, ...]:
        """Return the listeners of a draining worker whose backlogs no other worker takes over.

        A shard passes to the slot's next process; a shared queue is served as long as a plan has it.
        """
        if worker.target is None:
            return ()
        plan = self.plan if self.change is None or self.change.plan is None else self.change.plan
        served = () if self.stopping is not None else plan.listeners
        heir = self.slots[worker.target.entry.key].target
        inherited = () if heir is None else heir.listeners
        return tuple(
            one for one in worker.target.listeners if one not in (inherited if one.sharing == "sharded" else served)
        )

    def kill(self, worker: Worker, why: str, turn: Turn = "kill", *, explain: bool = False) -> None:
        """Kill a process; it is killed again each time that its deadline passes. `explain`: log its stacks before."""
        if self.turn(worker, turn):
            self.actions.append(KillWorker(worker.pid, why, explain))

    def dismiss(self, worker: Worker) -> None:
        """Dismiss a spare."""
        if self.turn(worker, "dismiss"):
            self.actions.append(DismissSpare(worker.pid))

    def report(self, text: str, words: str = "", about: Literal["fact"] | Announce | None = "fact") -> None:
        """Log one block: what happened, and the application's own report unless it was the last one logged.

        If it is about an announcement, that follows at once.
        """
        if words and words != self.last_words:
            self.last_words = words
            text = f"{text}\n{words}"
        self.actions.append(Report(text, about))
        if isinstance(about, Announce):
            self.actions.append(about)

    def reply(self, askers: list[int], ok: bool, text: str, data: Any = None) -> None:
        """Send the outcome to each client that waits for it."""
        self.actions.extend(Reply(asker, ok, text, data) for asker in askers)

    def scaling_ended(self, kind: str, ok: bool, text: str) -> None:
        """Send the outcome of a scaling to the client, if one waits."""
        if scaling := self.scaling.pop(kind, None):
            self.actions.append(Announce("scale", "done" if ok else "failed", self.generation, text=text, pool=kind))
            self.reply([scaling.asker], ok, text)

    def announce(self, change: Change, stage: Stage, key: str = "", text: str = "") -> None:
        """Announce the progress of a change."""
        self.actions.append(self.announcement(change, stage, key, text))

    @staticmethod
    def announcement(change: Change, stage: Stage, key: str = "", text: str = "") -> Announce:
        """Return the announcement of a change."""
        left = len(change.pending) + len(change.flight)
        return Announce(change.name, stage, change.generation, key or change.key, left, text)


_HOLDERS = {
    "change": "changing",
    "bake": "baking",
    "former": "keeping",
    "worker": "workers",
    "slot": "slots",
    "mold": "molds",
    "scaling": "scaling",
    "pace": "paces",
    "orphan": "orphans",
}
