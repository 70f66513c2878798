"""An upgrade in place: the master's program is replaced by the one that is installed now.

It does not carry half a change over. What has moved slots, and what scales a pool, is finished first, since clients
wait for it and both come to an end within their timeouts. A bake may last longer: that is said at once, and a `back`
ends it. What has moved none is withdrawn: its clients are told, and
what a signal or a watcher had requested is begun again afterwards. Then the shell is ordered to replace the program.
Events go on being handled until it does; a client's command is refused meanwhile, since the new program would not have
its connection, and a stop cancels the upgrade.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..actions import Announce
from ..change import Change
from ..commands import Back, Stop
from ..molds import end_mold
from ..rollout import end_settled, next_change, withdraw
from ..rollout import request as request_change
from ..state import Upgrading
from ..units import duration
from . import outcome
from .orders import ReplaceProgram

if TYPE_CHECKING:
    from ..commands import Command
    from ..state import State
    from .facts import Upgraded, UpgradeFailed

_AGAIN = "the master is being upgraded; request it again when that is done"


def request(state: State, asker: int = 0) -> None:
    """Begin an upgrade."""
    if state.upgrading is not None:  # A signal: a client has been refused.
        return
    state.upgrading = Upgrading(asker, state.cause)
    begun = Announce("upgrade", "planning", state.generation, text=_waits_for(state))
    if begun.text:
        state.report(f"upgrade: {begun.text}", about=begun)
    else:
        state.actions.append(begun)
    end_settled(state)
    waiting, state.queue = state.queue, []
    change = state.change
    if change is not None and change.what != "start" and change.stage != "rolling":
        waiting.insert(0, Change(change.what, change.askers, change.key, change.dry, change.cause, wish=change.wish))
        change.askers = []
        withdraw(state, f"{change.name}: withdrawn: the master is being upgraded")
    for one in waiting:
        clients = [asker for asker in one.askers if asker]
        state.reply(clients, False, f"{one.name}: withdrawn: {_AGAIN}")
        if len(clients) == len(one.askers) > 0:
            continue
        one.askers = []
        state.queue.append(one)


def refuses(state: State, command: Command) -> bool:
    """Return whether a client's command has to wait for the upgrade: all but a stop, and the end of a bake."""
    ends_bake = isinstance(command, Back) and state.change is not None and state.change.on_trial
    return state.upgrading is not None and not (isinstance(command, Stop) or ends_bake)


def _waits_for(state: State) -> str:
    """Return what a bake, which may last for minutes, has the upgrade wait for; empty if there is none."""
    change = state.change
    bake = change.bake if change is not None and change.on_trial else None
    if change is None or bake is None:
        return ""
    left = duration(bake.latest - (0.0 if bake.begun is None else state.now))
    return (
        f"waits for the verdict on generation {change.generation}, which is judged for {left} at most; "
        "`prefork back` withdraws that reload, and `prefork stop` cancels the upgrade"
    )


def proceed(state: State) -> None:
    """Order the shell to replace the program, as soon as nothing is to be finished first."""
    upgrading = state.upgrading
    if upgrading is None or upgrading.replacing or state.change is not None or not state.generation:
        return
    if any(scaling.asker for scaling in state.scaling.values()):
        return
    upgrading.replacing = True
    state.actions.append(Announce("upgrade", "rolling", state.generation))
    state.actions.append(ReplaceProgram(upgrading.asker))


def failed(state: State, event: UpgradeFailed) -> None:
    """Go on in this program."""
    if state.upgrading is None or not state.upgrading.replacing:
        return
    allow(state, event.away)
    outcome.ended(state, False, f"upgrade: failed: {event.why}; the former program goes on")
    next_change(state)


def upgraded(state: State, event: Upgraded) -> None:
    """Go on in the new program."""
    if state.upgrading is None or not state.upgrading.replacing:
        return
    allow(state, event.away)
    state.upgrading.asker = event.asker
    cause = state.upgrading.cause
    outcome.ended(state, True, f"upgrade: done ({event.program}; the master was away for {duration(event.away)})")
    if event.other_python:
        state.cause = f"reload after {cause}"  # Its first word is how the ends of workers are counted.
        end_foreign_molds(state)
        request_change(state, Change("reload", []))
    else:
        next_change(state)


def allow(state: State, seconds: float) -> None:
    """Put off what is late by the time in which the master could not see what happened."""
    for worker in state.workers.values():
        if worker.deadline is not None and worker.phase != "ready":
            state.set_deadline(worker, worker.deadline + seconds)
    for mold in state.molds.values():
        if mold.deadline is not None and mold.phase != "paused":
            mold.deadline += seconds
            state.expect("mold", mold.generation, mold.deadline)


def end_foreign_molds(state: State) -> None:
    """Replace molds and spares of another version of Python, whose orders this one cannot write."""
    for mold in state.molds.values():
        mold.foreign = True
        for pid in mold.idle:
            state.dismiss(state.workers[pid])
        mold.idle.clear()
        if mold.phase not in ("ending", "paused"):
            end_mold(state, mold)
    for slot in state.slots.values():
        if slot.reserve is not None:
            spare = state.workers[slot.reserve]
            slot.reserve = spare.holder = None
            state.dismiss(spare)
            state.dirty_slots[slot.key] = None
