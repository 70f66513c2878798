"""One wish replaced by the next, as a whole: a reload, a replan, a restart, and the start itself.

A change is planned, its listeners are bound, and then its slots are moved to their new wishes: one canary
first, and when it is ready the others, of each kind no more at a time than its surge. A slot is settled,
and leaves room for another, when its new worker is ready and the old one has ended. When all are, the
change is committed. Whatever fails before that takes the whole change back: every moved slot gets its
former wish again, to which the process that is still there may well be up to date. Only the start has
nothing to go back to: it is committed before the first worker, and its failure ends all.

A second reload takes the place of one that has not moved a slot yet, since who reloads again has mended
something. Later it waits until the first has come to its end, since to stop half-way would restart the
singletons twice. What waits is one change for all who asked meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .actions import Bind, PlanAgain, Unbind
from .births import enter, retire, start_mold, up_to_date
from .slot import Slot, Wish
from .state import Change, Stopping

if TYPE_CHECKING:
    from .plan import Entry, Plan
    from .state import State


def ask(state: State, change: Change) -> None:
    """Begin a change, or put it where it belongs among those that are asked for."""
    current = state.change
    if current is not None and current.what == change.what == "reload" and current.stage == "planning":
        state.queue.insert(0, change)
        withdraw(state, "superseded by a newer reload")
        return
    if current is None:
        begin(state, change)
        return
    for waiting in state.queue:
        if waiting.key == change.key:  # reloads and replans have none
            waiting.askers += change.askers
            if change.what == "reload":
                waiting.what = "reload"
            return
    state.queue.append(change)


def begin(state: State, change: Change) -> None:
    """Take up a change; nothing else is under way."""
    state.change = change
    change.stage = "planning"
    change.generation = state.generation
    if change.what in ("start", "reload"):
        state.newest += 1
        change.generation = state.newest
        start_mold(state, state.newest)
    elif change.what == "replan":
        # One that is being replaced computes a plan anyway; it will be taken for the answer.
        mold = state.molds[state.generation]
        if mold.phase == "able":
            enter(state, mold, "planning", state.spec.mold_timeout)
            state.actions.append(PlanAgain(mold.generation))
    else:
        change.plan = state.plan
        roll(state, change)


def planned(state: State, change: Change, plan: Plan) -> None:
    """The plan of a change is there: see to it that it can be followed, and that its listeners are open."""
    if refusal := plan.refusal():
        withdraw(state, f"{change.what} of generation {change.generation} failed: {refusal}")
        return
    change.plan = plan
    if new := tuple(one for one in plan.listeners if one not in state.plan.listeners):
        change.stage = "binding"
        state.actions.append(Bind(change.generation, new))
    else:
        roll(state, change)


def roll(state: State, change: Change) -> None:
    """Find the slots that have to be moved, and begin."""
    change.stage = "rolling"
    plan = change.plan
    assert plan is not None
    if change.what == "start":
        commit(state, change)
        return
    if change.what == "restart":
        slot = state.slots.get(change.key)
        if slot is None or slot.wish is None:
            withdraw(state, f"restart failed: there is no slot {change.key}")
            return
        later(change, replace(slot.wish, edition=state.next_edition()))
    else:
        kinds = {kind.name: kind for kind in plan.kinds}
        for key, entry in plan.wanted(state.overrides).items():
            slot = state.slots.get(key)
            wish = Wish(0, change.generation, entry, kinds[entry.kind], plan.listeners)
            if slot is not None and slot.wish == replace(wish, edition=slot.wish.edition if slot.wish else 0):
                continue
            later(change, replace(wish, edition=state.next_edition()))
    for kind, wishes in change.pending.items():
        change.surge[kind] = plan.kind(kind).surge or (len(wishes) + 3) // 4
    choose_canary(state, change)
    advance(state, change)


def later(change: Change, wish: Wish) -> None:
    """This slot is to be moved when its turn comes."""
    change.pending.setdefault(wish.kind.name, {})[wish.entry.key] = wish


def awaits(change: Change, key: str) -> bool:
    """Whether this slot is still to be moved."""
    return any(key in wishes for wishes in change.pending.values())


def choose_canary(state: State, change: Change) -> None:
    """The first slot to be moved: one whose old worker stays until the new one is ready, and that has one."""
    best = (False, False)
    change.canary = None
    for wishes in change.pending.values():
        for key, wish in wishes.items():
            rank = (wish.kind.replace == "new-first", key in state.slots)
            if change.canary is None or rank > best:
                change.canary, best = key, rank


def advance(state: State, change: Change) -> None:
    """Move as many slots as there is room for; commit when none is left."""
    for kind, wishes in change.pending.items():
        flight = change.flight.setdefault(kind, {})
        if change.canary is not None:
            if change.canary in wishes:
                move(state, change, wishes.pop(change.canary))
            continue
        while wishes and len(flight) < change.surge.setdefault(kind, 1):
            move(state, change, wishes.pop(next(iter(wishes))))
    if not any(change.pending.values()) and not any(change.flight.values()):
        commit(state, change)


def move(state: State, change: Change, wish: Wish) -> None:
    """Let one slot want its new worker."""
    key = wish.entry.key
    slot = state.slots.get(key) or state.slots.setdefault(key, Slot(key))
    change.before[key] = slot.wish
    change.flight.setdefault(wish.kind.name, {})[key] = None
    slot.aim(wish)
    state.touched[key] = None


def look(state: State, change: Change, slot: Slot) -> None:
    """A slot has been touched while slots are moved: see how far it has come."""
    wish = slot.wish
    if wish is None or slot.key not in (flight := change.flight.get(wish.kind.name, {})):
        return
    if reached(state, slot):
        if slot.key == change.canary:
            change.canary = None
        if len(slot.pids) <= 1:
            del flight[slot.key]
        advance(state, change)


def reached(state: State, slot: Slot) -> bool:
    """Whether a slot has the worker that it wants, or has had it and needs none."""
    wish = slot.wish
    if wish is None:
        return not slot.pids
    if slot.done == wish.edition:
        return True
    workers = [state.workers[pid] for pid in slot.pids]
    return any(one.phase == "ready" and one.wish and one.wish.edition == wish.edition for one in workers)


def commit(state: State, change: Change) -> None:
    """The change is the state: let go of what it replaced."""
    plan = change.plan
    assert plan is not None
    gone = tuple(one for one in state.plan.listeners if one not in plan.listeners)
    former = state.molds.get(state.generation) if change.generation != state.generation else None
    state.change, state.plan, state.generation = None, plan, change.generation
    aim_all(state, {})
    if change.what == "start":
        state.untried = dict.fromkeys(state.slots)
    if former is not None:
        retire(state, former)
    if gone:
        state.actions.append(Unbind(gone))
    state.stirred[state.generation] = None
    text = f"{change.what} of {change.key or f'generation {change.generation}'} done"
    if change.what not in ("start", "rollback"):
        state.report(text)
    state.reply(change.askers, True, text)
    next_change(state)


def withdraw(state: State, text: str, words: str = "") -> None:
    """Take the change back: the former wishes hold again, and whoever asked is told why."""
    change = state.change
    assert change is not None
    if change.what == "start":
        stop(state, 1, [], f"{text}\n{words}" if words else text)
        return
    back = Change("rollback", [], "", "rolling", state.generation, state.plan, surge=change.surge)
    give_up_moved(state, change, back)
    aim_all(state, {key: wish for key, wish in change.before.items() if not awaits(back, key)})
    if change.generation != state.generation:
        retire(state, state.molds[change.generation])
    if change.plan and (opened := tuple(o for o in change.plan.listeners if o not in state.plan.listeners)):
        state.actions.append(Unbind(opened))
    state.report(text, words)
    state.reply(change.askers, False, f"{text}\n{words}" if words else text)
    state.change = back
    advance(state, back)


def give_up_moved(state: State, change: Change, back: Change) -> None:
    """End what is on its way to a withdrawn wish; what serves already stays until its successor is ready."""
    wanted = state.plan.wanted(state.overrides)
    for key, former in change.before.items():
        slot = state.slots.get(key)
        worker = up_to_date(state, slot) if slot is not None else None
        if worker is None:
            continue
        if worker.phase != "ready":
            state.drain(worker)
        elif key in wanted and worker.wish is not None and worker.wish.kind.replace == "new-first":
            later(back, former or wish_for(state, wanted[key]))


def hurry(state: State, back: Change) -> None:
    """Stop pacing a rollback: the mold that it needs is not there, and who mends that must not wait for it."""
    for wishes in back.pending.values():
        while wishes:
            move(state, back, wishes.popitem()[1])
    back.flight.clear()
    advance(state, back)


def back_at_once(state: State, slot: Slot) -> bool:
    """A slot that was to be put back later has lost its worker; True where it has been put back instead."""
    change = state.change
    if change is None or change.what != "rollback":
        return False
    for wishes in change.pending.values():
        if wish := wishes.pop(slot.key, None):
            move(state, change, wish)
            return True
    for keys in change.flight.values():
        keys.pop(slot.key, None)  # it goes on trying, and the others go on
    advance(state, change)
    return False


def aim_all(state: State, before: dict[str, Wish | None]) -> None:
    """Let every slot want what the committed plan says: its earlier wish where there was one, else a new one."""
    wanted = state.plan.wanted(state.overrides)
    for key in [*state.slots, *before]:
        if key not in wanted:
            want(state, key, None)
    for key, entry in wanted.items():
        slot = state.slots.get(key)
        if former := before.get(key):
            want(state, key, former)
        elif slot is None or slot.wish is None or key in before:
            want(state, key, wish_for(state, entry))


def wish_for(state: State, entry: Entry) -> Wish:
    """A new wish of the committed generation."""
    kind, listeners = state.plan.kind(entry.kind), state.plan.listeners
    return Wish(state.next_edition(), state.generation, entry, kind, listeners)


def want(state: State, key: str, wish: Wish | None) -> None:
    """Let a slot want this from now on."""
    slot = state.slots.get(key)
    if slot is None:
        if wish is None:
            return
        slot = state.slots[key] = Slot(key)
    slot.aim(wish)
    state.touched[key] = None


def next_change(state: State) -> None:
    """Take up what has waited longest."""
    if state.queue and state.change is None and state.stopping is None:
        begin(state, state.queue.pop(0))


def stop(state: State, status: int, askers: list[int], words: str = "") -> None:
    """End: nothing is wanted any more. It is a wish like any other, and the last one."""
    if state.stopping is not None:
        state.stopping.askers += askers
        return
    state.stopping = Stopping(status, askers, words)
    refused = [change.askers for change in (state.change, *state.queue) if change is not None]
    refused += [[scaling.asker] for scaling in state.scaling.values()]
    for waiting in refused:
        state.reply(waiting, False, "the daemon is stopping")
    state.change = None
    state.queue.clear()
    state.scaling.clear()
    for key in state.slots:
        want(state, key, None)
    for mold in list(state.molds.values()):
        if not mold.retired:
            retire(state, mold)
