"""When a worker counts as hung, and what kind of hang it is: by plain calls, with a clock that the test turns."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from core.stage import Stage, plan
from prefork._core import actions as act
from prefork._core import events as ev
from prefork._core.hang_watch import HangDetector, Look, Sign
from prefork._core.verdicts import Evidence, Hang, Thread, Verdict, verdict
from prefork._report.hang_report import SENTENCES, report


class Watch:
    """A vigil over workers of whom each is busy since some moment, and has waited for a processor for some time."""

    def __init__(self, patience: float = 8.0) -> None:
        self.since: dict[int, float] = {}
        self.waited: dict[int, float] = {}
        self.patience = patience
        self.vigil = HangDetector(lambda pid: self.waited.get(pid, 0.0))

    def look(self, now: float, late: float = 0.0) -> Look:
        return self.vigil.look([Sign(pid, at, self.patience) for pid, at in self.since.items()], now, late)

    def until_hung(self, now: float, turn: float = 100.0) -> float:
        """Look whenever it is time; return when somebody is found to hang."""
        end = now + turn
        while now < end:
            look = self.look(now)
            if look.hung:
                return now
            assert look.next is not None
            assert look.next > now
            now = look.next
        raise AssertionError("nobody hangs")


def test_who_does_not_get_on_hangs_when_its_time_is_over_and_is_told_of_once() -> None:
    watch = Watch()
    watch.since[1] = 100.0
    assert watch.until_hung(101.0) == pytest.approx(108.0)
    assert watch.look(109.0).hung == watch.look(130.0).hung == ()
    watch.since[1] = 131.0
    assert watch.until_hung(132.0) == pytest.approx(139.0)


def test_a_hang_is_noticed_an_eighth_late_at_most() -> None:
    for first in (100.0, 100.9, 101.0, 103.9, 104.1, 107.9):
        watch = Watch()
        watch.since.update({number: 100.0 + 0.37 * number for number in range(20)})
        watch.since[99] = 100.0
        assert 108.0 <= watch.until_hung(first) <= 109.0


def test_who_gets_on_never_hangs() -> None:
    watch, now = Watch(), 100.0
    for _ in range(200):
        watch.since[1] = now - 7.9
        look = watch.look(now)
        assert look.hung == ()
        assert look.next is not None
        now = look.next


def test_nobody_looks_while_all_are_idle_and_the_last_look_comes_after_the_word() -> None:
    watch = Watch()
    watch.since[1] = 100.0
    assert watch.look(101.0).watching
    watch.since[1] = 0.0
    assert watch.look(105.0) == Look((), (), watching=False, next=106.0)
    assert watch.look(106.0) == Look((), (), watching=False, next=None)


def test_who_gets_busy_between_the_word_and_the_last_look_is_watched() -> None:
    watch = Watch()
    watch.since[1] = 0.0
    assert not watch.look(100.0).watching
    watch.since[1] = 100.5
    assert watch.look(101.0).watching


def test_time_without_a_processor_does_not_count() -> None:
    watch = Watch()
    watch.since[1] = 100.0
    for now in (104.0, 106.0):
        watch.waited[1] = 1.0 + 0.9 * (now - 104.0)
        watch.look(now)
    watch.waited[1] = 1.0 + 0.9 * 4
    look = watch.look(108.0)
    assert (look.hung, look.starved) == ((), (1,))
    assert look.next == pytest.approx(108.0 + 3.6)
    watch.waited[1] += 1.0
    assert watch.look(111.6).starved == (), "said once"
    assert watch.look(112.6).hung == (1,)
    assert watch.vigil.periods[1].excused == pytest.approx(4.6)


def test_time_in_which_nobody_looked_does_not_count() -> None:
    """The machine was asleep, and a worker of seven seconds seems to be one of an hour."""
    watch = Watch()
    watch.since[1] = 100.0
    watch.look(104.0)
    look = watch.look(3607.0, late=3500.0)
    assert look.hung == ()
    assert watch.until_hung(3607.0) == pytest.approx(3608.0)


def thread(state: str = "S", waits_in: str = "", wanted: float = 0.0, tid: int = 1) -> Thread:
    return Thread(tid, "python", state, waits_in, wanted, wanted, 0)


CASES: list[tuple[Verdict, bool, bool, list[Thread]]] = [
    ("stopped", True, False, [thread("T", "do_signal_stop")]),
    ("traced", True, False, [thread("t", "ptrace_stop")]),
    ("GIL held", True, False, [thread("R", "", 1.0)]),
    ("GIL held", False, False, [thread("S", "futex_do_wait"), thread("S", "futex_do_wait", tid=2)]),
    ("blocked loop", True, True, [thread("R", "", 1.0)]),
    ("blocked loop", True, True, [thread("S", "hrtimer_nanosleep"), thread("R", "", 1.0, tid=2)]),
    ("deadlock", True, True, [thread("S", "futex_do_wait")]),
    ("waiting for I/O", True, True, [thread("S", "unix_stream_read_generic")]),
    ("waiting for I/O", True, True, [thread("D", "folio_wait_bit_common")]),
    ("computing", False, True, [thread("S", "do_poll"), thread("R", "", 0.9, tid=2)]),
    ("deadlock", False, True, [thread("S", "do_sys_poll"), thread("S", "futex_wait_queue", tid=2)]),
    ("waiting for I/O", False, True, [thread("S", "do_sys_poll"), thread("S", "sk_wait_data", tid=2)]),
    ("waiting for I/O", False, True, [thread("S", "wait_woken")]),
    ("no progress", False, True, [thread("S", "hrtimer_nanosleep")]),
    ("no progress", False, True, []),
]


@pytest.mark.parametrize(("expected", "loop", "answered", "threads"), CASES)
def test_a_verdict_is_what_the_kernel_and_the_worker_have_told(
    expected: Verdict, loop: bool, answered: bool, threads: Iterable[Thread]
) -> None:
    assert verdict(Evidence(loop, answered, 0, tuple(threads))) == expected


def test_a_report_says_who_what_where_and_for_how_long() -> None:
    evidence = Evidence(True, True, 0, (thread("S", "hrtimer_nanosleep"),))
    text = report(Hang("web/0 (pid 7)", "GET /slow", 8.25, 0.0), "blocked loop", evidence, "app.py, line 3\n" * 200)
    first, doing, state, *stacks = text.splitlines()
    assert first == f"web/0 (pid 7) hangs, for 8.2 s: blocked loop: {SENTENCES['blocked loop']}"
    assert doing == "  it was doing: GET /slow"
    assert "hrtimer_nanosleep" in state
    assert stacks[0] == "  app.py, line 3"
    assert stacks[-1] == "  ... and 80 lines more"
    assert "for want of a processor" in report(Hang("web/0", "", 9.0, 4.5), "computing", evidence, "")


def hung(pid: int, over: bool = False) -> ev.WorkerHung:
    return ev.WorkerHung(pid, "deadlock", Hang("web/0", "GET /", 30.0, 0.0), "the report", over)


def test_a_worker_that_hangs_is_told_of_and_killed_and_replaced_at_once_however_often_it_comes_to_that() -> None:
    stage = Stage(plan()).start()
    for _ in range(5):
        pid = stage.pid("web/0")
        actions = stage.feed(hung(pid))
        assert actions == [act.Report("the report"), act.KillWorker(pid, "as it hung for 30.0 s: deadlock")]
        stage.rest()
        assert stage.pid("web/0") != pid


def test_a_worker_is_left_alone_where_its_kind_says_so_and_where_it_has_got_on() -> None:
    stage = Stage(plan(hang_policy="report")).start()
    assert stage.feed(hung(stage.pid("web/0"))) == [act.Report("the report")]
    stage = Stage(plan()).start()
    (told,) = stage.feed(hung(stage.pid("web/0"), over=True))
    assert isinstance(told, act.Report)
    assert "left alone" in told.text


def test_what_is_found_out_about_a_process_that_has_gone_is_no_news() -> None:
    stage = Stage(plan()).start()
    for event in hung(999999), ev.WorkerStopped(999999, 19, 30.0), ev.WorkerContinued(999999):
        assert stage.feed(event) == []


def test_who_is_stopped_continued_or_starved_is_told_of_and_not_killed() -> None:
    stage = Stage(plan()).start()
    pid = stage.pid("web/0")
    for event in ev.WorkerStopped(pid, 19, 30.0), ev.WorkerContinued(pid), ev.WorkerStarved(pid, 31.0):
        (told,) = stage.feed(event)
        assert isinstance(told, act.Report)
    assert isinstance(stage.feed(ev.MachineSlept(60.0))[0], act.Report)
