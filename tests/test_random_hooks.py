"""Random failures of a hooks program: hooks that raise anywhere, deaths, reloads, silence. No processes."""

from __future__ import annotations

import signal
from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hooked import Hooked, Hooks, version
from prefork import SystemFailure, UsageError
from prefork._core.events import SignalReceived, Started
from prefork._hooks.decider.pauses import LONGEST_REST, LONGEST_RETRY
from prefork._hooks.decider.reload import SHORTEST_WAIT
from support import PROOF

ERRORS = (OSError(98, "in use"), KeyError("port"), UsageError("no such kind"), SystemFailure("no process left"))
PLACES = ("update", "fork", "on_quit", "cleanup_child", "on_child_finished", "update_server", "update_config")
ENDING = ("on_terminate", "on_interrupt", "on_finish")
HOOKS = {"TERM": "on_terminate", "INT": "on_interrupt"}
STATUSES = (0, 1, 2, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGSEGV)
DRAIN = 7.0


class Program(RuleBasedStateMachine):
    """`raising`: where the program raises now. `refused`: versions that no process may be started for any more.

    `latest`: the version of the latest reload that has begun. `announced`: workers have called `prefork.ready()`.
    """

    @initialize(
        count=st.integers(1, 3),
        raising=st.sampled_from([None, "on_start", *PLACES]),
        up=st.sampled_from([True, True, False]),
        own=st.sets(st.sampled_from(ENDING)),
        lasts=st.integers(0, 60),
    )
    def start(self, count: int, raising: str | None, up: bool, own: set[str], lasts: int) -> None:
        """`own`: the hooks of the end that are the program's: workers are given no time after those.

        `lasts`: events before it may be told to end.
        """
        self.raising = None if up else raising
        self.own, self.lasts = own, lasts
        self.error: BaseException = ERRORS[0]
        self.only: int | None = None
        self.count = count
        self.versions = 0
        self.refused: set[int] = set()
        self.latest = 0
        self.announced = False
        self.seen = 0
        self.hooks = Hooks(count, drain_timeout=DRAIN)
        self.hooks.before_return = lambda: self.fails("update")
        self.hooks.before_fork = lambda context: self.fails("fork", context)
        made = self.hooks.decider._settings
        for name in PLACES[2:]:
            object.__setattr__(made, name, self.wrapped(name, getattr(made, name)))
        for name in {"on_start", *own}:
            # The program's own ask the workers, too.
            object.__setattr__(made, name, self.wrapped(name, lambda *given: self.hooks.asked.update(*given[1:])))
        self.tell(Started())
        if up:
            self.hooks.take(*self.hooks.live)

    def wrapped(self, name: str, hook: Any) -> Any:
        def call(*arguments: Any) -> Any:
            result = hook(*arguments)
            self.fails(name)
            return result

        return call

    def fails(self, where: str, context: Hooked | None = None) -> None:
        if where == self.raising and (context is None or self.only in (None, context.id)):
            raise type(self.error)(*self.error.args)

    def tell(self, event: Any, after: float = 0.1) -> None:
        self.after(self.hooks.tell(event, after))

    def after(self, reports: list[str]) -> None:
        """Take in what an event has brought about."""
        self.lasts -= 1
        if any(text.startswith("prefork: reload failed") for text in reports):
            self.refused.add(self.latest)
        started, self.seen = self.hooks.births.all[self.seen :], len(self.hooks.births.all)
        for pid, context in started:
            if pid in self.hooks.live and pid not in self.hooks.asked:
                assert context.version not in self.refused, f"a refused set is started: {context}"

    @property
    def pending(self) -> int | None:
        """Return the version whose workers are not all up; None if no reload is under way."""
        return None if self.hooks.decider._reloads.present is None else self.latest

    @property
    def lives(self) -> bool:
        return self.hooks.status is None

    @precondition(lambda self: self.lives)
    @rule(
        where=st.sampled_from([None, *PLACES, *ENDING]),
        error=st.sampled_from(ERRORS),
        only=st.sampled_from([None, 0, 1]),
    )
    def raise_from_now_on(self, where: str | None, error: BaseException, only: int | None) -> None:
        self.raising, self.error, self.only = where, error, only

    @precondition(lambda self: self.lives and self.pending is not None)
    @rule(data=st.data(), status=st.sampled_from(STATUSES))
    def new_worker_dies(self, data: st.DataObject, status: int) -> None:
        change = self.hooks.decider._reloads.present
        if change is not None and (new := [pid for pid in change.started if pid in self.hooks.live]):
            pid = data.draw(st.sampled_from(new))
            child = self.hooks.decider._live[pid]
            works = status == 0 and child.began is not None and (child.ready or not self.announced)
            reports = self.hooks.exit(pid, status=status, after=0.3)
            assert works != any(text.startswith("prefork: reload failed") for text in reports)
            self.after(reports)

    @precondition(lambda self: self.lives)
    @rule(count=st.integers(0, 4), gives=st.sampled_from(["config", "config", "none"]))
    def hup(self, count: int, gives: str) -> None:
        self.versions += 1
        hooks, number = self.hooks, self.versions
        hooks.wanted = version(number, count)
        hooks.config = None if gives == "none" else f"config {number}"
        before, superseded = set(hooks.resource.workers), self.pending
        self.tell(SignalReceived("HUP"))
        if not self.lives:
            return
        if gives == "none":
            assert {*map(astuple, hooks.resource.workers)} == {*map(astuple, before)}
        if {one.version for one in hooks.resource.workers} != ({number} if count else set()):
            self.refused.add(number)
        elif count or hooks.resource.workers == set():
            if superseded is not None:
                self.refused.add(superseded)
            self.latest = number

    @precondition(lambda self: self.lives and self.hooks.live)
    @rule(data=st.data(), count=st.integers(1, 3))
    def workers_get_on(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            pid = data.draw(st.sampled_from(self.hooks.live))
            if data.draw(st.booleans()):
                self.hooks.take(pid)
            else:
                self.ready(pid)
            self.after([])

    @precondition(lambda self: self.lives and self.hooks.live)
    @rule(data=st.data(), status=st.sampled_from(STATUSES), after=st.sampled_from([0.01, 0.3, 5.0]), once=st.booleans())
    def worker_dies(self, data: st.DataObject, status: int, after: float, once: bool) -> None:
        """`once`: its successor cannot be started the first time."""
        pid, raising = data.draw(st.sampled_from(self.hooks.live)), self.raising
        self.raising = "fork" if once else raising
        self.after(self.hooks.exit(pid, status=status, after=after))
        self.raising = raising

    @precondition(lambda self: self.lives and self.hooks.live)
    @rule(data=st.data())
    def worker_refuses(self, data: st.DataObject) -> None:
        self.after(self.hooks.refuse(data.draw(st.sampled_from(self.hooks.live))))

    @precondition(lambda self: self.lives)
    @rule(name=st.sampled_from(["QUIT", "USR1"]))
    def signal_that_changes_nothing(self, name: str) -> None:
        self.tell(SignalReceived(name))

    @precondition(lambda self: self.lives)
    @rule()
    def time_passes(self) -> None:
        if self.hooks.decider.next_deadline() is not None:
            self.after(self.hooks.deadline())

    @precondition(lambda self: self.lives and self.lasts < 0)
    @rule(data=st.data(), names=st.lists(st.sampled_from(["TERM", "INT", "HUP", "QUIT"]), max_size=3))
    def ends(self, data: st.DataObject, names: list[str]) -> None:
        """Whatever is under way and raises, the daemon ends."""
        self.raising = data.draw(st.sampled_from([self.raising, *ENDING]))
        obeying = data.draw(st.integers(0, 8))
        self.end([data.draw(st.sampled_from(["TERM", "INT"])), *names], obeying)

    def end(self, signals: list[str], obeying: int) -> None:
        """Send these signals; `obeying` of the workers end by themselves. No other worker is started."""
        hooks, begun, born, said = self.hooks, self.hooks.now, len(self.hooks.births.all), len(self.hooks.reports)
        for name in signals:
            if self.lives:
                hooks.signal(name)
        for pid in hooks.live[:obeying]:
            hooks.exit(pid, status=-signal.SIGTERM, after=0.01)
        asked_by_own = ({HOOKS[name] for name in signals if name in HOOKS} & self.own) - {self.raising}
        while self.lives and not asked_by_own and not hooks.killed >= set(hooks.live):
            assert hooks.now - begun <= DRAIN
            hooks.deadline()
        if self.lives:
            hooks.exit(*hooks.live, after=0.0)
        assert hooks.status is not None
        assert hooks.live == []
        assert len(hooks.births.all) == born
        assert not any(text.startswith("prefork: reload failed") for text in hooks.reports[said:])

    @precondition(lambda self: not self.lives)
    @rule()
    def it_has_ended(self) -> None:
        """Hypothesis needs something that can still happen."""

    @invariant()
    def no_refused_set_runs(self) -> None:
        """A worker of a refused set is at most on its way to the end."""
        started = dict(self.hooks.births.all)
        for pid in self.hooks.live:
            if pid not in self.hooks.asked:
                assert started[pid].version not in self.refused

    @precondition(lambda self: self.lives)
    @rule()
    def rest(self) -> None:
        """Let nothing fail for a while, and all that were asked end: then wanted and running meet."""
        self.raising = None
        hooks, begun = self.hooks, self.hooks.now
        while self.lives and hooks.now - begun < LONGEST_REST + LONGEST_RETRY + SHORTEST_WAIT:
            for pid in [pid for pid in hooks.live if pid in hooks.asked or pid in hooks.killed]:
                self.after(hooks.exit(pid, status=-signal.SIGTERM, after=0.01))
            if not self.lives:
                return
            waiting = [pid for pid in hooks.live if pid not in hooks.asked and not self.is_up(pid)]
            for pid in waiting:
                hooks.take(pid, after=0.01)
                self.ready(pid)
            if not waiting and not hooks.asked & set(hooks.live):
                if hooks.decider.next_deadline() is None:
                    break
                self.after(hooks.deadline())
        running = [context for pid, context in hooks.births.all if pid in hooks.live]
        assert {one.id for one in running} == {one.id for one in hooks.resource.workers}
        assert len(running) == len(hooks.resource.workers)
        assert not {one.version for one in running} & self.refused

    def ready(self, pid: int) -> None:
        """Let a worker call `prefork.ready()`: from now on reloads wait for that, and it may not end before."""
        self.announced = True
        self.hooks.ready(pid, after=0.01)

    def is_up(self, pid: int) -> bool:
        child = self.hooks.decider._live[pid]
        return child.began is not None and child.ready

    def teardown(self) -> None:
        if not hasattr(self, "hooks"):
            return
        hooks = self.hooks
        if self.lives:
            self.rest()
        if self.lives:
            self.end(["TERM"], 0)
        assert hooks.status is not None
        assert hooks.live == []


# Longer than the five minutes that Hypothesis shrinks a failure: cut off, that is "flaky", without its example.
TestProgram = pytest.mark.timeout(3600 if PROOF else 600)(Program.TestCase)
TestProgram.settings = settings(
    max_examples=5000 if PROOF else 150, stateful_step_count=40, deadline=None, print_blob=True
)
