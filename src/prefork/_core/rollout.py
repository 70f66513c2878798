"""Changes: a start, reload, replan or restart, each applied or rolled back as a whole.

A change is planned, its listeners are bound, and then its slots are moved to their new targets: one canary first, and
when it is ready the others, of each kind no more at a time than its surge. A slot is settled, and leaves room for
another, when its new worker is ready; the old one drains beside it. When all are settled, the change is committed: as
soon as the former workers have ended, and at the latest a moment (`Spec.hand_over`) later. A failure before that rolls
the whole change back: every moved slot gets its former target again, which the process that still runs there may
match. Only the start cannot be rolled back: it is committed before the first worker, and its failure stops the daemon.

A reload supersedes another reload, and any change that has moved slots: probably the code has been repaired since. One
that has moved no slot is rolled back. Of one that has, workers that are ready stay until the new reload replaces them,
with the others; it takes over the targets from before, so that its failure rolls both back. Other changes wait. What
waits is one change for all clients that request it meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._records.members import replace
from .actions import Announce, Bind, PlanAgain, Unbind
from .change import Change
from .gap import serving, up_to_date
from .handover import outcome
from .judge.canaries import choose
from .judge.course import begin_bake
from .judge.former import keep
from .molds import enter, retire, retire_unused, start_mold
from .slot import Slot, Target
from .state import Stopping
from .targets import make_room, set_target, set_targets
from .view.difference import difference, summary

if TYPE_CHECKING:
    from .plan import Entry, Kind, Plan
    from .state import State


def start(state: State) -> None:
    """Begin the first change, unless the state is that of a daemon that runs."""
    if not state.newest:
        state.cause = "daemon start"
        request(state, Change("start", []))


def request(state: State, change: Change) -> None:
    """Begin a change, or put it in the queue, where equal changes become one."""
    change.cause = state.cause
    end_settled(state)
    current = state.change
    if current is None and state.upgrading is None:
        begin(state, change)
        return
    if (
        current is not None
        and state.upgrading is None
        and change.what == "reload"
        and not change.dry
        and (current.what == "reload" or (current.stage == "rolling" and current.what != "start"))
    ):
        supersede(state, current, change)
        return
    for waiting in state.queue:
        # A reload includes a replan; its preview differs, and so does the way back.
        alike = waiting.what == change.what or not (change.dry or "back" in (waiting.what, change.what))
        if waiting.key == change.key and waiting.dry == change.dry and alike:  # reloads and replans have no key
            waiting.askers += change.askers
            if change.what == "reload":
                waiting.what, waiting.cause, waiting.wish = "reload", change.cause, change.wish
            return
    state.queue.append(change)


def supersede(state: State, current: Change, change: Change) -> None:
    """Let a reload take the place of the change that is under way."""
    text = f"{current.name}: superseded by a newer reload ({current.key or f'generation {current.generation}'})"
    if current.stage != "rolling":
        state.queue.insert(0, change)
        withdraw(state, text)
        return
    change.before, change.opened = current.before, current.opened
    for key in current.flight:
        slot = state.slots.get(key)
        worker = slot and serving(state, slot)
        if slot and slot.target and worker and worker.target:  # Its successor is not ready, and may never be.
            slot.retarget(worker.target, f"{current.name} superseded")
            state.dirty_slots[key] = None
            if change.before.get(key) == worker.target:
                del change.before[key]
    state.report(text, about=state.announcement(current, "failed", text=text))
    state.reply(current.askers, False, text)
    state.change = None
    begin(state, change)
    retire_unused(state)


def begin(state: State, change: Change) -> None:
    """Begin a change; no other is under way."""
    state.change, state.cause = change, change.cause
    state.setback = state.setback if change.dry else ""
    state.last_words = ""  # A new attempt: the same failure is logged again.
    change.stage = "planning"
    change.generation = state.generation
    if change.what in ("start", "reload"):
        state.newest += 1
        change.generation = state.newest
    state.announce(change, "planning")
    if change.what == "back":
        _begin_back(state, change)
    elif change.generation != state.generation:
        start_mold(state, state.newest)
    elif change.what == "replan":
        # A mold that is being restarted computes a plan anyway, which counts as the answer.
        mold = state.molds[state.generation]
        if mold.phase == "ready":
            enter(state, mold, "planning", state.options.import_timeout)
            state.actions.append(PlanAgain(mold.generation))
    else:
        change.plan = state.plan
        roll(state, change)


def _begin_back(state: State, change: Change) -> None:
    """Return to the plan of the former generation, whose mold is there."""
    if state.former is None:
        fail(state, "no former generation is kept")
        return
    change.generation = state.former.generation
    planned(state, change, state.former.plan)


def planned(state: State, change: Change, plan: Plan) -> None:
    """Check the plan of a change, and have its new listeners opened."""
    if refusal := plan.refusal():
        fail(state, refusal)
        return
    change.plan = plan
    if change.dry:
        reply_difference(state, change, plan)
    elif new := tuple(one for one in plan.listeners if one not in (*state.plan.listeners, *change.opened)):
        change.stage = "binding"
        change.opened += new
        state.actions.append(Bind(change.generation, new))
    else:
        roll(state, change)


def roll(state: State, change: Change) -> None:
    """Find the slots to be moved, and move the first."""
    change.stage = "rolling"
    plan = change.plan
    assert plan is not None
    if change.what == "start":
        commit(state, change)
        return
    if change.what == "restart":
        slot = state.slots.get(change.key)
        if slot is None or slot.target is None:
            fail(state, f"there is no slot {change.key}")
            return
        change.pending[change.key] = replace(slot.target, edition=state.next_edition())
    else:
        kinds = {kind.name: kind for kind in plan.kinds}
        for entry in plan.wanted(state.overrides).values():
            if not kinds[entry.kind].auxiliary:  # Those follow when the change is committed.
                plan_move(state, change, entry, kinds[entry.kind])
        make_room(state, plan)
    choose(state, change)
    state.announce(change, "rolling")
    advance(state, change)


def reply_difference(state: State, change: Change, plan: Plan) -> None:
    """Answer a preview with the difference, and retire the mold that has computed the plan."""
    state.change = None
    if change.generation != state.generation:
        retire(state, state.molds[change.generation])
    data = difference(state, change, plan)
    state.announce(change, "done", text=summary(data))
    state.reply(change.askers, True, summary(data), data)
    next_change(state)


def plan_move(state: State, change: Change, entry: Entry, kind: Kind) -> None:
    """Have a slot moved when its turn comes, unless it has this target already."""
    assert change.plan is not None
    slot = state.slots.get(entry.key)
    target = Target(0, change.generation, entry, kind, change.plan.listeners_of(kind))
    if slot is None or slot.target is None or replace(slot.target, edition=0) != target:
        change.pending[entry.key] = replace(target, edition=state.next_edition())


def advance(state: State, change: Change) -> None:
    """Move the canaries, and when they are ready, and judged, all others; commit when all are settled."""
    if change.canaries:
        for key in [key for key in change.canaries if key in change.pending]:
            move(state, change, change.pending.pop(key))
        return
    if change.bake is not None and not change.bake.over:
        begin_bake(state, change, change.bake)
        return
    while change.pending:
        move(state, change, change.pending.pop(next(iter(change.pending))))
    if not change.pending and not change.flight:
        slots = (state.slots[key] for key in change.before if key in state.slots)
        change.former = {pid: None for slot in slots for pid in slot.pids if state.workers[pid].asked}
        change.deadline = state.now + state.spec.hand_over
        state.expect("change", change.generation, change.deadline)
        hand_over(state, change)


def hand_over(state: State, change: Change) -> None:
    """Commit a change whose slots are settled when its former workers have ended, or after a moment.

    A client that sends a request as soon as it has the reply must not meet a worker that does not know that it drains.
    """
    while change.former and change.deadline is not None and state.now < change.deadline:
        if next(iter(change.former)) in state.workers:
            return
        del change.former[next(iter(change.former))]
    commit(state, change)


def move(state: State, change: Change, target: Target) -> None:
    """Give one slot its new target."""
    key = target.entry.key
    slot = state.slots.get(key) or state.slots.setdefault(key, Slot(key))
    change.before.setdefault(key, slot.target)
    change.flight[key] = None
    slot.retarget(target, change.cause)
    state.dirty_slots[key] = None


def slot_reconciled(state: State, change: Change, slot: Slot) -> None:
    """Note whether a slot that was reconciled during the rollout has settled."""
    if slot.key in change.flight and reached(state, slot):
        change.canaries.pop(slot.key, None)
        del change.flight[slot.key]
        state.announce(change, "settled", slot.key)
        advance(state, change)
    elif change.deadline is not None:
        hand_over(state, change)


def reached(state: State, slot: Slot) -> bool:
    """Return whether a slot has the worker of its target, or has had it and needs none."""
    if slot.target is None:
        return not slot.pids
    worker = up_to_date(state, slot)
    return slot.done == slot.target.edition or (worker is not None and worker.phase == "ready")


def end_settled(state: State) -> None:
    """Commit a change that waits only for its former workers: nothing may make it fail."""
    cause = state.cause
    if state.change is not None and state.change.deadline is not None:
        commit(state, state.change)
    state.cause = cause


def commit(state: State, change: Change) -> None:
    """Make the change's plan the one in force, and retire what it replaced."""
    plan = change.plan
    assert plan is not None
    gone = tuple(one for one in (*state.plan.listeners, *change.opened) if one not in plan.listeners)
    left = state.generation, state.plan
    state.change, state.plan, state.generation, state.cause = None, plan, change.generation, change.cause
    if change.generation != left[0]:
        keep(state, *left)
    make_room(state, plan)
    set_targets(state, {})
    if change.what == "start":
        state.untried = {key: None for key, slot in state.slots.items() if not slot.auxiliary}
    retire_unused(state)
    if gone:
        state.actions.append(Unbind(gone))
    state.dirty_molds[state.generation] = None
    of = change.key or f"generation {change.generation}"
    text = f"{change.what}: done ({of}){change.judgement}{_still_draining(state)}"
    if change.what == "start":
        state.announce(change, "done", text=text)
    else:
        state.report(text, about=state.announcement(change, "done", text=text))
    state.reply(change.askers, True, text)
    next_change(state)


def _still_draining(state: State) -> str:
    """Return how many workers, of this and earlier changes, still drain."""
    count = sum(worker.phase == "draining" for worker in state.workers.values())
    return f"; still draining: {count}" if count else ""


_STAYS = {"reload": "the old code goes on serving", "replan": "the former plan stays in force"}
"""What a failed change leaves as it was."""


def fail(state: State, why: str, words: str = "") -> None:
    """Roll the change back, since it has failed; `words`: the application's report."""
    change = state.change
    assert change is not None
    stays = "" if change.dry else _STAYS.get(change.what, "")
    withdraw(state, f"{change.name}: failed: {why}", words, f"{stays} (generation {state.generation})" if stays else "")


def withdraw(state: State, text: str, words: str = "", stays: str = "") -> None:
    """Roll the change back: the former targets hold again, and the clients that wait get the reason."""
    change = state.change
    assert change is not None
    if change.what == "start":
        whole = f"{text}\n{words}" if words else text
        state.announce(change, "failed", text=whole)
        state.change, state.cause = None, text
        stop(state, 1, [], whole)
        return
    state.change, state.cause = None, f"{change.name} rolled back"
    state.setback = state.setback if change.dry else text
    for key in change.before:
        slot = state.slots.get(key)
        if slot:
            slot.why = state.cause
        worker = slot and up_to_date(state, slot)
        if worker and worker.phase != "ready":
            state.drain(worker)  # else it could become ready, and stay, beside its replacement
    make_room(state, state.plan)
    set_targets(state, change.before)
    retire_unused(state)
    for scaling in state.scaling.values():
        state.dirty_slots.update(scaling.keys)  # A slot that only this change had is not reconciled again.
    if change.opened:
        state.actions.append(Unbind(change.opened))
    text += f"; {stays}" if stays else f"; rolled back to generation {state.generation}" if change.before else ""
    whole = f"{text}\n{words}" if words else text
    state.report(text, words, state.announcement(change, "failed", text=whole))
    state.reply(change.askers, False, whole)
    next_change(state)


def next_change(state: State) -> None:
    """Begin the change that has waited longest."""
    if state.queue and state.change is None and state.stopping is None and state.upgrading is None:
        begin(state, state.queue.pop(0))


def refuse_all(state: State, why: str) -> None:
    """Fail the change, those that wait, and all scalings."""
    if state.change is not None:
        state.announce(state.change, "failed", text=why)
    for change in (state.change, *state.queue):
        if change is not None:
            state.reply(change.askers, False, why)
    for kind in list(state.scaling):
        state.scaling_ended(kind, False, why)


def stop(state: State, status: int, askers: list[int], words: str = "") -> None:
    """Stop the daemon: no slot has a target any more."""
    requested = status == 0
    if state.stopping is not None:
        state.stopping.askers += askers
        state.stopping.requested |= requested
        return
    end_settled(state)
    if state.upgrading is not None:
        outcome.cancelled(state, "the daemon is stopping")
    state.stopping = Stopping(status, askers, words, requested=requested)
    plan = None if state.change is None else state.change.plan
    if listeners := tuple(dict.fromkeys((*state.plan.listeners, *(plan.listeners if plan else ())))):
        state.actions.append(Unbind(listeners))  # New connections are refused; those that wait are still served.
    refuse_all(state, "the daemon is stopping")
    state.change = None
    state.queue.clear()
    state.actions.append(Announce("stop", "rolling", state.generation, left=len(state.slots)))
    for key in state.slots:
        set_target(state, key, None)
    for mold in list(state.molds.values()):
        if not mold.retired:
            retire(state, mold)
