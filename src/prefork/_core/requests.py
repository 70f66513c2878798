"""What commands and signals request."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from . import orphans, rollout
from .actions import ReopenLogs, Report, ReportStacks
from .change import Change
from .commands import Back, Preview, Reload, Replan, Restart, Scale, Stop, Upgrade
from .handover import upgrade
from .judge.back import go_back
from .scaling import scale, step
from .view.status import as_text

if TYPE_CHECKING:
    from .commands import Command
    from .state import State


def command(state: State, command: Command, askers: list[int]) -> None:
    """Begin what a command requests, or refuse it."""
    if state.stopping is not None and not isinstance(command, Stop):
        state.reply(askers, False, "the daemon is stopping")
        return
    if any(askers) and upgrade.refuses(state, command):
        state.reply(askers, False, "the master is being upgraded; request it again when that is done")
        return
    match command:
        case Reload():
            rollout.request(state, Change("reload", askers, wish=command))
        case Back():
            go_back(state, askers)
        case Replan():
            rollout.request(state, Change("replan", askers))
        case Restart(key):
            rollout.request(state, Change("restart", askers, key))
        case Preview(of):
            rollout.request(state, Change(of, askers, dry=True))
        case Scale(kind, size):
            scale(state, kind, size, askers)
        case Stop():
            rollout.stop(state, 0, askers)
        case Upgrade():
            upgrade.request(state, *askers)
        case _:
            assert_never(command)


def signal(state: State, name: str, terminal_gone: bool) -> None:
    """Begin what a signal requests; one without a meaning is ignored."""
    match name:
        case "INT" if state.stopping is not None:
            for worker in state.workers.values():
                worker.asked = True
                state.kill(worker, "second interrupt")
            for orphan in state.orphans.values():
                orphans.kill(state, orphan)
        case "TERM" | "INT":
            rollout.stop(state, 0, [])
        case "HUP" if terminal_gone:
            rollout.stop(state, 0, [])
        case "HUP" if state.stopping is None:
            rollout.request(state, Change("reload", []))
        case "TTIN" | "TTOU" if state.stopping is None:
            step(state, 1 if name == "TTIN" else -1)
        case "QUIT":
            state.actions += [Report(as_text(state), "fact"), ReportStacks()]
        case "USR1":
            state.actions.append(ReopenLogs())
        case "USR2" if state.stopping is None:
            upgrade.request(state)
        case _:
            pass
