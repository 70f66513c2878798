"""What the hooks interface does when a hook or a worker fails, without processes."""

from __future__ import annotations

import signal
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from hooked import FIRST_PID, Hooked, Hooks, version
from prefork import SystemFailure, UsageError
from prefork._core.events import SignalReceived, Started
from prefork._hooks.decider.children import HEALTHY
from prefork._hooks.decider.pauses import LONGEST_DELAY, LONGEST_REST, LONGEST_RETRY, TRIES
from prefork._hooks.decider.reload import SHORTEST_WAIT

TERM = -signal.SIGTERM


class Broken:
    """Raises an error until it is mended."""

    def __init__(self, error: BaseException, *only: int) -> None:
        self.error: BaseException | None = error
        self.only = only

    def __call__(self, context: Hooked | None = None) -> None:
        if self.error is not None and (context is None or not self.only or context.id in self.only):
            raise type(self.error)(*self.error.args)  # Another one each time, as a program would.


TAKEN = OSError(98, "Address already in use")


# A first start that fails.


@pytest.mark.parametrize(
    ("error", "status"),
    [(TAKEN, 1), (UsageError("no such kind"), 2), (SystemFailure("cannot start worker"), 1), (KeyError("port"), 1)],
    ids=["system", "misuse", "refused", "bug"],
)
@pytest.mark.parametrize("where", ["update", "fork", "on_start", "last fork"])
def test_start_in_which_a_hook_raises_ends_with_its_error_last(where: str, error: BaseException, status: int) -> None:
    broken = Broken(error)
    hooks = Hooks(3, **({"on_start": lambda _config: broken()} if where == "on_start" else {}))
    if where == "update":
        hooks.before_return = broken
    elif where != "on_start":
        hooks.before_fork = Broken(error, *([2] if where == "last fork" else []))
    hooks.tell(Started())
    assert len(hooks.live) == (2 if where == "last fork" else 0)
    hooks.obey()
    assert hooks.status == status
    assert str(error) in hooks.reports[-1].splitlines()[-1]
    assert len(hooks.reports) == 1


def test_workers_that_never_take_their_contexts_end_the_daemon() -> None:
    hooks = Hooks(2)
    hooks.tell(Started())
    while hooks.status is None:
        hooks.exit(hooks.live[0], status=2, after=0.2)
        hooks.obey()
    assert hooks.status == 1
    assert len(hooks.births.all) <= 2 + TRIES
    assert "exited 2 before it decoded its context" in hooks.reports[0]
    assert "no worker has taken its context" in hooks.reports[-1]


def test_last_of_the_first_workers_may_still_import() -> None:
    hooks = Hooks(2)
    hooks.tell(Started())
    first = hooks.live[0]
    for _ in range(2 * TRIES):
        hooks.exit(hooks.live[-1], status=1, after=0.2)
        if hooks.live == [first]:
            hooks.deadline()
    assert hooks.status is None
    hooks.take(first)
    hooks.exit(hooks.live[-1], status=1)
    assert hooks.status is None


def test_workers_that_go_on_failing_early_are_slowed_down() -> None:
    hooks = Hooks(2)
    hooks.tell(Started())
    for _ in range(TRIES):
        hooks.exit(hooks.live[-1], status=1, after=0.2)
    assert len(hooks.live) == 1
    assert (hooks.decider.next_deadline() or 0) - hooks.now >= 1


def test_one_worker_that_fails_early_is_started_again() -> None:
    hooks = Hooks(1)
    hooks.tell(Started())
    hooks.exit(hooks.live[0], status=-signal.SIGKILL, after=0.2)
    hooks.take(hooks.live[0])
    assert hooks.signal("TERM") == []
    hooks.obey()
    assert hooks.status == 0


def test_first_workers_that_are_not_started_again_end_the_daemon() -> None:
    hooks = Hooks(2, on_child_finished=lambda _config: ())
    hooks.tell(Started())
    first, second = hooks.live
    hooks.exit(first, status=1, after=0.2)
    assert hooks.status is None
    hooks.exit(second, status=0, after=0.2)
    assert hooks.status == 1


def test_relaunch_that_raises_first_ends_the_daemon() -> None:
    hooks = Hooks(1)
    hooks.tell(Started())
    hooks.before_fork = Broken(TAKEN)
    hooks.exit(hooks.live[0], status=1, after=0.2)
    assert hooks.status == 1
    assert "Address already in use" in hooks.reports[-1]


def test_late_configuration_that_cannot_be_read_fails_the_start() -> None:
    hooks = Hooks(1)
    hooks.config = None
    hooks.tell(Started())
    assert hooks.live == []
    assert hooks.status is None
    hooks.before_return = Broken(TAKEN)
    hooks.signal("HUP")
    assert hooks.status == 1


def test_processes_of_a_hooks_own_are_a_start_after_a_while() -> None:
    hooks = Hooks(0, update_server=lambda _config: [FIRST_PID + 5])
    hooks.tell(Started())
    hooks.before_return = Broken(TAKEN)
    hooks.tell(SignalReceived("HUP"), after=HEALTHY)
    assert hooks.status is None


# A reload that fails.


def up() -> Hooks:
    return Hooks(2).start()


def test_update_that_raises_changes_nothing() -> None:
    hooks = up()
    hooks.before_return = Broken(KeyError("port"))
    assert hooks.reload(*version(1, 3)) == []
    hooks.exit(hooks.live[0])
    assert hooks.contexts() == [(0, 0), (1, 0)]
    assert hooks.present_config() == "config 0"


def test_update_that_returns_none_changes_nothing() -> None:
    hooks = up()
    assert hooks.reload(*version(1, 3), config=None) == []
    hooks.exit(*hooks.live)
    assert hooks.contexts() == [(0, 0), (1, 0)]
    assert hooks.present_config() == "config 0"


def test_set_that_is_changed_in_place_goes_back() -> None:
    hooks = up()

    def change() -> None:
        hooks.resource.workers.add(Hooked(7, 1))
        raise KeyError("port")

    hooks.before_return = change
    hooks.reload(*version(0))
    hooks.exit(hooks.live[0])
    assert hooks.contexts() == [(0, 0), (1, 0)]


@pytest.mark.parametrize("error", [TAKEN, UsageError("no such kind"), SystemFailure("no process left")], ids=str)
def test_new_worker_that_cannot_be_started_undoes_the_reload(error: BaseException) -> None:
    hooks = up()
    hooks.before_fork = Broken(error, 2)
    new = hooks.reload(*version(1, 3))
    assert set(new) <= hooks.asked
    hooks.before_fork = lambda _context: None
    hooks.obey()
    hooks.exit(hooks.live[0])
    assert hooks.contexts() == [(0, 0), (1, 0)]
    assert hooks.present_config() == "config 0"
    assert str(error) in hooks.reports[0]


def test_wrapped_hook_that_raises_last_undoes_the_reload() -> None:
    broken = Broken(TAKEN)
    hooks = Hooks(2)
    server: Any = hooks.decider._settings.update_server

    def wrapped(config: Any) -> Any:
        pids = server(config)
        if config != "config 0":
            broken()
        return pids

    hooks.decider._settings = replace(hooks.decider._settings, update_server=wrapped)
    hooks.start()
    new = hooks.reload(*version(1))
    assert set(new) <= hooks.asked
    hooks.obey()
    hooks.exit(hooks.live[0])
    assert hooks.contexts() == [(0, 0), (1, 0)]


@pytest.mark.parametrize("status", [0, 1, 2, -signal.SIGKILL, TERM])
def test_new_worker_that_ends_early_undoes_the_reload(status: int) -> None:
    hooks = up()
    first, second = hooks.reload(*version(1))
    hooks.take(first)
    (report,) = hooks.exit(second, status=status, after=0.2)
    assert report.startswith("prefork: reload failed: hooked/1: ")
    assert report.endswith("; the former workers and the former configuration stay")
    assert hooks.asked == {first}
    hooks.obey()
    assert hooks.contexts() == [(0, 0), (1, 0)]
    assert hooks.present_config() == "config 0"
    hooks.exit(*hooks.live)
    assert hooks.contexts() == [(0, 0), (1, 0)]


def test_new_worker_that_refuses_its_context_undoes_the_reload() -> None:
    hooks = up()
    _first, second = hooks.reload(*version(1))
    (report,) = hooks.refuse(second, "Hooked was sent no value for name")
    assert "reload failed: hooked/1: cannot decode its context" in report
    assert hooks.exit(second, status=2, after=0.01) == []
    hooks.obey()
    assert hooks.contexts() == [(0, 0), (1, 0)]
    assert hooks.status is None


def test_refused_workers_that_ignore_being_asked_are_killed() -> None:
    hooks = up()
    first, second = hooks.reload(*version(1))
    hooks.take(first)
    hooks.exit(second, status=1, after=0.2)
    hooks.deadline()
    hooks.deadline()
    assert hooks.killed == {first}


def test_second_reload_takes_the_place_of_one_that_is_not_done() -> None:
    hooks = up()
    superseded = hooks.reload(*version(1), config="config 1")
    latest = hooks.reload(*version(2), config="config 2")
    assert hooks.asked == set(superseded)
    hooks.exit(latest[0], status=1, after=0.2)
    hooks.obey()
    assert {one.version for one in hooks.resource.workers} == {0}
    assert hooks.contexts() == [(0, 0), (1, 0)], "as before both"
    assert hooks.present_config() == "config 0"
    hooks.exit(*hooks.live)
    assert hooks.contexts() == [(0, 0), (1, 0)]


def test_second_reload_that_raises_leaves_the_first_one() -> None:
    hooks = up()
    new = hooks.reload(*version(1), config="config 1")
    hooks.before_return = Broken(TAKEN)
    assert hooks.reload(*version(2), config="config 2") == []
    hooks.take(*new)
    hooks.obey()
    assert hooks.contexts() == [(0, 1), (1, 1)]
    assert hooks.present_config() == "config 1"
    hooks.exit(*hooks.live)
    assert hooks.contexts() == [(0, 1), (1, 1)]


def test_former_worker_that_dies_during_a_reload_is_replaced() -> None:
    hooks = up()
    former = hooks.live[0]
    new = hooks.reload(*version(1))
    hooks.exit(former)
    assert hooks.births.all[-1][1].version == 0
    hooks.take(*new)
    assert hooks.asked == set(hooks.live) - set(new)


# The gap between wanted and running.


def test_fork_that_raises_is_called_again_after_growing_pauses() -> None:
    hooks = up()
    broken = Broken(OSError(-2, "Name or service not known"))
    tries = []

    def before_fork(_context: Hooked) -> None:
        tries.append(hooks.now)
        broken()

    hooks.before_fork = before_fork
    hooks.exit(hooks.live[0])
    while len(tries) < 7:
        hooks.deadline()
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses == pytest.approx([1, 2, 4, 5, 5, 5])
    assert (pauses[0], pauses[-1]) == pytest.approx((LONGEST_DELAY, LONGEST_RETRY))
    broken.error = None
    begun = hooks.now
    while len(hooks.live) < 2:
        hooks.deadline()
    assert hooks.now - begun <= LONGEST_RETRY
    hooks.take(hooks.live[-1])
    broken.error = OSError(-2, "Name or service not known")
    hooks.exit(hooks.live[0])
    while len(tries) < 10:
        hooks.deadline()
    assert tries[-1] - tries[-2] == pytest.approx(LONGEST_DELAY), "a first one again"


def test_equal_errors_become_one_line_with_their_number() -> None:
    hooks = up()
    hooks.before_fork = Broken(OSError(-2, "Name or service not known"))
    hooks.exit(hooks.live[0])
    begun = hooks.now
    while hooks.now < begun + 60:
        hooks.deadline()
    tracebacks = [text for text in hooks.reports if "Traceback" in text]
    assert len(tracebacks) == 2
    folded = [text for text in hooks.reports if "times in" in text or "once in" in text]
    assert folded
    assert all("hook on_child_finished: raised an exception" in text and "Name or service" in text for text in folded)


@pytest.mark.parametrize("hook", ["on_quit", "cleanup_child", "update"])
def test_gap_that_any_hook_leaves_is_closed_after_a_pause(hook: str) -> None:
    broken = Broken(KeyError("x"))
    broken.error = None
    own: dict[str, Any] = {} if hook == "update" else {hook: lambda *_: broken()}
    hooks = Hooks(2)
    hooks.decider._settings = replace(hooks.decider._settings, **own)
    hooks.start()
    broken.error = KeyError("x")
    hooks.resource.workers.add(Hooked(5))  # By a thread, say.
    if hook == "on_quit":
        hooks.signal("QUIT")
    elif hook == "update":
        hooks.before_return = broken
        hooks.wanted = [*hooks.wanted, Hooked(5)]
        hooks.signal("HUP")
    else:
        hooks.exit(hooks.live[0])
        broken.error = None
    while hooks.decider.next_deadline() is not None:
        hooks.deadline()
    assert (5, 0) in hooks.contexts()


def test_worker_that_cannot_be_started_holds_up_no_other() -> None:
    hooks = Hooks(3).start()
    first, second, third = hooks.live
    hooks.before_fork = Broken(FileNotFoundError("0.conf"), 0)
    hooks.exit(first)
    hooks.exit(second, third)
    for _ in range(4):
        hooks.deadline()
    assert hooks.contexts() == [(1, 0), (2, 0)]


def test_hook_that_starts_a_worker_and_raises_stops_doing_so() -> None:
    hooks = up()

    def start_and_raise(_config: Any) -> None:
        hooks.births.start(Hooked(0))
        raise KeyError("x")

    hooks.decider._settings = replace(hooks.decider._settings, on_child_finished=start_and_raise)
    hooks.exit(hooks.live[0])
    for _ in range(40):
        if hooks.decider.next_deadline() is not None:
            hooks.deadline()
    assert len(hooks.live) <= 12


# Workers that end at once.


def test_worker_that_returns_at_once_is_slowed_down_and_named() -> None:
    hooks = Hooks(1).start()
    begun, starts = hooks.now, len(hooks.births.all)
    while hooks.now < begun + 60:
        if hooks.live:
            hooks.exit(hooks.live[0], status=0, after=0.1, used=0.1)
        hooks.deadline()
        if hooks.live:
            hooks.take(hooks.live[0], after=0.0)
    used = 0.1 * (len(hooks.births.all) - starts)
    assert used / (hooks.now - begun) < 0.05
    assert len(hooks.births.all) - starts > 10, "it is a pause and not a stop"
    assert "hooked/0: returned after" in hooks.reports[0]
    assert "signal.pause()" in hooks.reports[0]
    assert len(hooks.reports) < 12
    assert any("returned at once" in text and "times in" in text for text in hooks.reports)


def test_many_workers_that_return_at_once_cost_no_more_than_one() -> None:
    hooks = Hooks(4).start()
    begun, starts = hooks.now, len(hooks.births.all)
    while hooks.now < begun + 100:
        for pid in list(hooks.live):
            hooks.exit(pid, status=0, after=0.02, used=0.1)
        hooks.deadline()
        hooks.take(*hooks.live, after=0.0)
    assert 0.1 * (len(hooks.births.all) - starts) / (hooks.now - begun) < 0.05


def test_worker_that_returns_after_its_work_is_not_slowed_down() -> None:
    hooks = Hooks(1).start()
    for _ in range(20):
        assert hooks.exit(hooks.live[0], status=0, after=2 * HEALTHY) == []
        hooks.take(hooks.live[0])


def test_worker_that_returns_for_good_is_not_named() -> None:
    hooks = Hooks(1, on_child_finished=lambda _config: ()).start()
    hooks.exit(hooks.live[0], status=0, after=0.1)
    hooks.deadline()
    assert hooks.reports == []


def test_long_import_that_fails_is_no_healthy_life() -> None:
    hooks = up()
    hooks.exit(hooks.live[0])
    hooks.exit(hooks.live[-1], status=1, after=3.0, used=3.0)
    assert len(hooks.live) == 1
    assert LONGEST_REST - 0.1 <= (hooks.decider.next_deadline() or 0) - hooks.now <= LONGEST_REST


# A reload by readiness, and the end.


def test_former_workers_are_asked_when_all_successors_are_up() -> None:
    hooks = up()
    former = set(hooks.live)
    first, second = hooks.reload(*version(1))
    hooks.take(first)
    assert hooks.asked == set()
    assert hooks.present_config() == "config 0"
    hooks.take(second)
    assert hooks.asked == former
    assert hooks.present_config() == "config 1"
    hooks.obey()
    assert hooks.contexts() == [(0, 1), (1, 1)]
    assert hooks.reports == []
    assert hooks.decider.next_deadline() is None


def test_former_workers_wait_for_those_that_announce_it() -> None:
    hooks = up()
    hooks.ready(hooks.live[0])
    former = set(hooks.live)
    new = hooks.reload(*version(1))
    hooks.take(*new)
    hooks.ready(new[0])
    assert hooks.asked == set()
    hooks.ready(new[1])
    assert hooks.asked == former


@pytest.mark.parametrize("takes", [False, True])
def test_successor_that_never_is_up_fails_the_reload(takes: bool) -> None:
    hooks = up()
    hooks.ready(hooks.live[0])
    new = hooks.reload(*version(1))
    if takes:
        hooks.take(*new)
    begun = hooks.now
    (report,) = hooks.deadline()
    assert hooks.now - begun <= SHORTEST_WAIT
    assert ("prefork.ready()" if takes else "has not taken its context") in report
    assert hooks.asked == set(new)
    hooks.obey()
    assert hooks.contexts() == [(0, 0), (1, 0)]


def test_successor_that_returns_before_ready_fails_the_reload() -> None:
    hooks = up()
    hooks.ready(hooks.live[0])
    first, second = hooks.reload(*version(1))
    hooks.take(first, second)
    hooks.ready(first)
    (report,) = hooks.exit(second, status=0, after=0.3)
    assert "reload failed: hooked/1: exited 0 before it called prefork.ready(), as others did (pid" in report
    assert hooks.asked == {first}
    hooks.obey()
    assert hooks.contexts() == [(0, 0), (1, 0)]


def test_successor_that_was_ready_may_return() -> None:
    hooks = up()
    hooks.ready(hooks.live[0])
    first, second = hooks.reload(*version(1))
    hooks.take(first, second)
    hooks.ready(first)
    assert hooks.exit(first, status=0, after=0.3) == []
    hooks.ready(second)
    hooks.obey()
    hooks.deadline()
    assert hooks.contexts() == [(0, 1), (1, 1)]


def test_program_that_starts_slowly_gets_the_time_it_needs() -> None:
    hooks = Hooks(1)
    hooks.tell(Started())
    hooks.take(hooks.live[0], after=100.0)
    hooks.reload(*version(1, 1))
    assert (hooks.decider.next_deadline() or 0) - hooks.now > 200


def test_reload_without_workers_ends_the_former_ones() -> None:
    hooks = up()
    former = set(hooks.live)
    assert hooks.reload() == []
    assert hooks.asked == former


@pytest.mark.parametrize("former", [0, 2])
def test_successor_that_has_done_its_work_is_no_failure(former: int) -> None:
    hooks = up()
    hooks.take(*hooks.reload(*version(0, former)))
    hooks.obey()
    first, second = hooks.reload(*version(1))
    hooks.take(first)
    hooks.exit(first, status=0, after=0.1)
    hooks.deadline()  # Its successor's, if the reload were done: until then nothing is missing.
    hooks.take(second)
    hooks.obey()
    while hooks.decider.next_deadline() is not None:
        hooks.deadline()
    assert hooks.contexts() == [(0, 1), (1, 1)]


def test_former_workers_that_stay_are_killed_at_the_deadline() -> None:
    hooks = Hooks(2, drain_timeout=7.0).start()
    former = set(hooks.live)
    hooks.take(*hooks.reload(*version(1)))
    begun = hooks.now
    reports = hooks.deadline()
    assert hooks.now - begun == pytest.approx(7.0)
    assert hooks.killed == former
    assert len(reports) == 2
    assert all("still there 7 s after it was asked to end; killing" in text for text in reports)
    assert hooks.exit(*former, after=0.01) == []


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_workers_that_ignore_the_end_are_killed_at_the_deadline(name: str) -> None:
    hooks = up()
    hooks.signal(name)
    begun = hooks.now
    hooks.deadline()
    assert hooks.now - begun == pytest.approx(30.0)
    assert hooks.killed == set(hooks.live)
    hooks.exit(*hooks.live)
    assert hooks.status == 4


def test_second_term_does_not_move_the_deadline() -> None:
    hooks = up()
    hooks.signal("TERM")
    at = hooks.decider.next_deadline()
    hooks.tell(SignalReceived("TERM"), after=20.0)
    assert hooks.decider.next_deadline() == at


def test_second_int_kills_at_once() -> None:
    hooks = up()
    hooks.signal("INT")
    assert hooks.killed == set()
    (report,) = hooks.signal("INT")
    assert "killing 2 workers" in report
    assert hooks.killed == set(hooks.live)


def test_hooks_of_the_programs_own_have_no_deadline() -> None:
    hooks = Hooks(2, on_terminate=lambda *_: None, on_interrupt=lambda *_: None).start()
    for name in ("TERM", "INT", "INT", "INT"):
        hooks.signal(name)
    assert hooks.decider.next_deadline() is None
    assert hooks.killed == set()


def test_no_timeout_is_no_deadline() -> None:
    hooks = Hooks(1, drain_timeout=float("inf")).start()
    hooks.signal("TERM")
    assert hooks.decider.next_deadline() is None


def test_end_in_the_middle_of_a_reload_ends_all() -> None:
    hooks = up()
    hooks.reload(*version(1))
    hooks.signal("TERM")
    assert len(hooks.live) == 4
    hooks.obey()
    assert hooks.status == 0
