"""The cost of an exit in the core by the number of slots: events per second for 1, 100 and 10,000 slots.

    python bench/core_events.py [turns]

One turn is three events: an exit, which gives a spare its order, the spare's `ready`, and the fork of the next spare.
In `crash` turns no worker lives for longer than its start, so that most of them wait for the next start of their pool.
"""

from __future__ import annotations

import sys
import time

from prefork._core import actions as act
from prefork._core.events import DeadlinePassed, Event, MoldPlanned, SpareForked, Started, WorkerEnded, WorkerReady
from prefork._core.plan import Entry, Kind, Plan, Spec
from prefork._core.supervisor import Supervisor


class Run:
    """A supervisor whose workers are all ready, and a count of its events."""

    def __init__(self, slots: int) -> None:
        entries = tuple(Entry(f"web/{number}", "web", "x") for number in range(slots))
        self.supervisor = Supervisor(Spec(healthy_after=1.0))
        self.now = 0.0
        self.events = 0
        self.pids = iter(range(1000, 10**9))
        self.feed(Started())
        self.feed(MoldPlanned(1, Plan(entries, (Kind("web"),))))
        self.events = 0

    def feed(self, event: Event) -> None:
        """Pass an event to the supervisor, and execute its actions at once."""
        self.events += 1
        for action in self.supervisor.handle(event, self.now):
            match action:
                case act.ForkSpares(generation, count):
                    for _ in range(count):
                        self.feed(SpareForked(generation, next(self.pids)))
                case act.OrderWorker(pid):
                    self.last = pid
                    self.feed(WorkerReady(pid))
                case _:
                    pass


def measure(slots: int, turns: int, healthy: bool) -> float:
    """Return the events per second."""
    run = Run(slots)
    began = time.perf_counter()
    for _ in range(turns):
        run.now += 2.0 if healthy else 0.0
        run.feed(WorkerEnded(run.last, 3, "exited 3"))
        if not healthy and (deadline := run.supervisor.next_deadline()) is not None:
            run.now = max(run.now, deadline)
            run.feed(DeadlinePassed())
    return run.events / (time.perf_counter() - began)


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"{'slots':>8} {'relaunch':>14} {'crash':>14}   events per second")
    for slots in (1, 100, 10_000):
        figures = [max(measure(slots, turns, healthy) for _ in range(3)) for healthy in (True, False)]
        print(f"{slots:>8,} {figures[0]:>14,.0f} {figures[1]:>14,.0f}")


if __name__ == "__main__":
    main()
