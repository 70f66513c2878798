"""What is done about a worker that hangs, or is stopped: it is told of, and then its kind's policy acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from . import events as ev

if TYPE_CHECKING:
    from .state import State

Event = ev.WorkerHung | ev.WorkerStopped | ev.WorkerContinued | ev.WorkerStarved | ev.MachineSlept


def take(state: State, event: Event) -> None:
    """Take in what the watch for hangs has found."""
    if isinstance(event, ev.MachineSlept):
        state.report(f"the machine, or the master, stood still for {event.seconds:g} s: no worker is judged by it")
        return
    worker = state.workers.get(event.pid)
    if worker is None or worker.wish is None or worker.phase not in ("ready", "draining", "starting"):
        return
    who = f"{worker.wish.entry.key} (pid {event.pid})"
    match event:
        case ev.WorkerHung(_, verdict, hang, report, over):
            if over:
                report += "\n  it has got on meanwhile, and is left alone"
            state.report(report)
            if not over and worker.wish.kind.hang_policy == "kill":
                worker.hung = True
                state.kill(worker, f"as it hung for {hang.seconds:.1f} s: {verdict}")
        case ev.WorkerStopped(_, number, patience):
            end = f", and replaced if it is not continued within {patience:g} s" if patience else ""
            if worker.wish.kind.hang_policy != "kill":
                end = ""
            state.report(f"{who} has been stopped by signal {number}{end}")
        case ev.WorkerContinued():
            state.report(f"{who} has been continued")
        case ev.WorkerStarved(_, seconds):
            state.report(f"{who} has not got on for {seconds:g} s, for want of a processor: it is not taken for hung")
        case _:
            assert_never(event)
