"""When a worker counts as hung, and what kind of hang it is: by plain calls, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from core.stage import Stage, plan
from prefork._core import actions as act
from prefork._core import events as ev
from prefork._core.commands import Reload
from prefork._core.watch.hang_watch import EXTRA, RETRIES, Check, HangDetector, Progress, Sign
from prefork._core.watch.verdicts import Evidence, Hang, Thread, Verdict, verdict
from prefork._report.reports.hang_report import SENTENCES, report


class Watch:
    """A detector over workers, each busy since a moment, and in the run queue for some seconds."""

    def __init__(self, patience: float = 8.0) -> None:
        self.since: dict[int, float] = {}
        self.free: set[int] = set()
        self.waited: dict[int, float] = {}
        self.patience = patience
        self.detector = HangDetector(lambda pid: self.waited.get(pid, 0.0))

    def check(self, now: float, late: float = 0.0) -> Check:
        signs = [Sign(pid, at, self.patience, pid in self.free) for pid, at in self.since.items()]
        return self.detector.check(signs, now, late)

    def until_hung(self, now: float, turn: float = 100.0) -> float:
        """Check whenever a check is due; return when a worker is found hung."""
        end = now + turn
        while now < end:
            result = self.check(now)
            if result.hung:
                return now
            assert result.next is not None
            assert result.next > now
            now = result.next
        raise AssertionError("no worker hangs")


def test_no_progress_is_a_hang_reported_once() -> None:
    watch = Watch()
    watch.since[1] = 100.0
    assert watch.until_hung(101.0) == pytest.approx(108.0)
    assert watch.check(109.0).hung == watch.check(130.0).hung == ()
    watch.since[1] = 131.0
    assert watch.until_hung(132.0) == pytest.approx(139.0)


def test_a_hang_is_noticed_an_eighth_late_at_most() -> None:
    for first in (100.0, 100.9, 101.0, 103.9, 104.1, 107.9):
        watch = Watch()
        watch.since.update({number: 100.0 + 0.37 * number for number in range(20)})
        watch.since[99] = 100.0
        assert 108.0 <= watch.until_hung(first) <= 109.0


def test_worker_with_progress_never_hangs() -> None:
    watch, now = Watch(), 100.0
    for _ in range(200):
        watch.since[1] = now - 7.9
        result = watch.check(now)
        assert result.hung == ()
        assert result.next is not None
        now = result.next


def test_idle_workers_are_not_checked_after_one_last_check() -> None:
    watch = Watch()
    watch.since[1] = 100.0
    assert watch.check(101.0).watching
    watch.since[1] = 0.0
    assert watch.check(105.0) == Check((), (), watching=False, next=106.0)
    assert watch.check(106.0) == Check((), (), watching=False, next=None)


def test_worker_busy_before_the_last_check_is_watched() -> None:
    watch = Watch()
    watch.since[1] = 0.0
    assert not watch.check(100.0).watching
    watch.since[1] = 100.5
    assert watch.check(101.0).watching


def test_time_starved_of_cpu_does_not_count() -> None:
    watch = Watch()
    watch.since[1] = 100.0
    for now in (104.0, 106.0):
        watch.waited[1] = 1.0 + 0.9 * (now - 104.0)
        watch.check(now)
    watch.waited[1] = 1.0 + 0.9 * 4
    result = watch.check(108.0)
    assert (result.hung, result.starved) == ((), (1,))
    assert result.next == pytest.approx(108.0 + 3.6)
    watch.waited[1] += 1.0
    assert watch.check(111.6).starved == (), "said once"
    assert watch.check(112.6).hung == (1,)
    assert watch.detector.periods[1].excused == pytest.approx(4.6)


def test_time_of_a_late_check_does_not_count() -> None:
    """The machine was asleep, and a worker of seven seconds seems to be one of an hour."""
    watch = Watch()
    watch.since[1] = 100.0
    watch.check(104.0)
    result = watch.check(3607.0, late=3500.0)
    assert result.hung == ()
    assert watch.until_hung(3607.0) == pytest.approx(3608.0)


PROGRESS: list[tuple[str, Progress, float, bool]] = [
    ("an idle loop", Progress(beat=-1.0, busy_since=3.0), 0.0, False),
    ("a loop in a callback", Progress(beat=5.0, busy_since=3.0), 5.0, False),
    ("no requests", Progress(threads=8), 0.0, True),
    ("a long request, others are free", Progress(busy_since=3.0, threads=8, working=1, moved=9.0), 3.0, True),
    ("all but one", Progress(busy_since=3.0, threads=8, working=7, moved=9.0), 3.0, True),
    ("all", Progress(busy_since=3.0, threads=8, working=8, moved=9.0), 9.0, False),
    ("the only thread", Progress(busy_since=3.0, threads=1, working=1, moved=3.0), 3.0, False),
    ("the only thread, which waits for its client", Progress(threads=1, working=0, moved=9.0), 0.0, True),
    ("threads of an unknown number", Progress(busy_since=3.0, working=9, moved=9.0), 3.0, False),
    ("nonsense", Progress(busy_since=float("nan"), working=-1, threads=2), 0.0, True),
    ("a moment to come", Progress(busy_since=11.0, working=1), 0.0, False),
]


@pytest.mark.parametrize(
    ("progress", "since", "free"), [case[1:] for case in PROGRESS], ids=[case[0] for case in PROGRESS]
)
def test_worker_is_judged_by_what_its_row_says(progress: Progress, since: float, free: bool) -> None:
    assert progress.since(10.0) == since
    assert (progress.free > 0) == free


def test_stuck_request_beside_free_threads_is_no_hang() -> None:
    watch = Watch()
    watch.since[1], watch.free = 100.0, {1}
    assert watch.check(104.0).stuck == ()
    result = watch.check(108.0)
    assert (result.stuck, result.hung, result.starved) == ((1,), (), ())
    assert watch.check(130.0).stuck == ()
    watch.since[1], watch.free = 131.0, set()  # All threads have requests for a moment,
    assert watch.check(132.0).hung == ()
    watch.since[1], watch.free = 100.0, {1}  # and then some are free again.
    for now in (133.0, 134.0, 150.0):
        assert watch.check(now).stuck == ()
    watch.since[1] = 151.0
    watch.check(156.0)
    assert watch.check(160.0).stuck == (1,), "another request"


def test_worker_hangs_when_its_last_thread_is_stuck() -> None:
    watch = Watch()
    watch.since[1], watch.free = 100.0, {1}
    watch.check(104.0)
    assert watch.check(108.0).stuck == (1,)
    watch.since[1], watch.free = 120.0, set()
    assert watch.until_hung(121.0) == pytest.approx(128.0)


def test_unanswered_worker_is_examined_a_few_times() -> None:
    watch = Watch()
    watch.since[1], watch.free = 100.0, {1}
    watch.check(104.0)
    assert watch.check(108.0).stuck == (1,)
    now, times = 108.0, 0
    while watch.detector.retry(1):
        times += 1
        result = watch.check(now + 1.0)
        assert result.stuck == (1,)
        now += 1.0
    assert times == RETRIES
    assert not watch.detector.retry(2), "not a worker"


def test_extended_time_is_given_once() -> None:
    watch = Watch()
    watch.since[1] = 100.0
    assert watch.until_hung(101.0) == pytest.approx(108.0)
    assert watch.detector.extend(1, EXTRA * 8.0)
    assert watch.check(109.0) == Check((), (), watching=True, next=117.0)
    assert watch.until_hung(117.0) == pytest.approx(108.0 + EXTRA * 8.0)
    assert not watch.detector.extend(1, EXTRA * 8.0)
    assert not watch.detector.extend(2, 1.0), "not a worker"
    watch.since[1] = 150.0
    assert watch.until_hung(151.0) == pytest.approx(158.0)
    assert watch.detector.extend(1, 1.0), "it has made progress meanwhile"


def thread(state: str = "S", waits_in: str = "", wanted: float = 0.0, tid: int = 1) -> Thread:
    return Thread(tid, "python", state, waits_in, wanted, wanted, 0)


CASES: list[tuple[Verdict, bool, bool, list[Thread]]] = [
    ("stopped", True, False, [thread("T", "do_signal_stop")]),
    ("traced", True, False, [thread("t", "ptrace_stop")]),
    ("gil_held", True, False, [thread("R", "", 1.0)]),
    ("gil_held", False, False, [thread("S", "futex_do_wait"), thread("S", "futex_do_wait", tid=2)]),
    ("blocked_loop", True, True, [thread("R", "", 1.0)]),
    ("blocked_loop", True, True, [thread("S", "hrtimer_nanosleep"), thread("R", "", 1.0, tid=2)]),
    ("deadlock", True, True, [thread("S", "futex_do_wait")]),
    ("waiting_for_io", True, True, [thread("S", "unix_stream_read_generic")]),
    ("waiting_for_io", True, True, [thread("D", "folio_wait_bit_common")]),
    ("computing", False, True, [thread("S", "do_poll"), thread("R", "", 0.9, tid=2)]),
    ("deadlock", False, True, [thread("S", "do_sys_poll"), thread("S", "futex_wait_queue", tid=2)]),
    ("waiting_for_io", False, True, [thread("S", "do_sys_poll"), thread("S", "sk_wait_data", tid=2)]),
    ("waiting_for_io", False, True, [thread("S", "wait_woken")]),
    ("waiting_for_io", True, False, [thread("S", "do_poll")]),
    ("gil_held", True, False, [thread("S", "hrtimer_nanosleep")]),
    ("library_lock", True, False, [thread("S", "futex_do_wait"), thread("S", "do_poll", 0.1, tid=2)]),
    ("sleeping", False, True, [thread("S", "hrtimer_nanosleep")]),
    ("sleeping", False, True, [thread("S", "do_sys_poll"), *(thread("S", "hrtimer_nanosleep", tid=n) for n in (2, 3))]),
    ("no_progress", False, True, [thread("S", "do_wait")]),
    ("no_progress", False, True, []),
]


@pytest.mark.parametrize(("expected", "loop", "answered", "threads"), CASES)
def test_verdict_follows_from_the_evidence(
    expected: Verdict, loop: bool, answered: bool, threads: Iterable[Thread]
) -> None:
    assert verdict(Evidence(loop, answered, 0, tuple(threads))) == expected


POLL, EPOLL, LOCK, SLEEP, READ = "do_sys_poll", "ep_poll", "futex_do_wait", "hrtimer_nanosleep", "sk_wait_data"
AT_WORK: list[tuple[Verdict, list[str], set[int]]] = [
    # The main thread, and then the server's: those of which the verdict is asked have a request.
    ("deadlock", [POLL, EPOLL, LOCK, LOCK, READ], {3, 4}),
    ("sleeping", [POLL, EPOLL, LOCK, SLEEP, READ], {3, 4}),
    ("sleeping", [POLL, EPOLL, LOCK, SLEEP], {4}),
    ("waiting_for_io", [POLL, EPOLL, LOCK, READ], {3, 4}),
    ("deadlock", [LOCK, EPOLL], {1}),
    ("no_progress", [POLL, EPOLL, "do_wait"], {3}),
]


@pytest.mark.parametrize(("expected", "waits", "working"), AT_WORK)
def test_verdict_is_on_threads_with_a_request(expected: Verdict, waits: list[str], working: set[int]) -> None:
    threads = tuple(thread("S", waits_in, tid=number) for number, waits_in in enumerate(waits, 1))
    assert verdict(Evidence(False, True, 0, threads, frozenset(working))) == expected


def test_main_thread_in_a_lock_of_c_without_the_gil() -> None:
    """A pool of native threads that was made before the fork is waited for, and does not exist any more."""
    locked = (thread("S", LOCK),)
    pool = Evidence(True, False, 0, locked, native_threads=3)
    assert verdict(pool) == "library_lock"
    assert verdict(Evidence(True, False, 0, locked, native_threads=3, contended=True)) == "gil_held"
    first = report(Hang("web/0", 7, 1, "GET /", 30.0, 0.0), "library_lock", pool, "", "killing it").splitlines()[0]
    assert "the main thread waits for a lock inside a C library; the mold had 3 native threads when it forked" in first
    in_a_thread = Evidence(False, True, 0, (thread("S", POLL), *locked), native_threads=1)
    assert "the mold had 1 native thread when" in report(
        Hang("web/0", 7, 1, "", 9.0, 0.0), "deadlock", in_a_thread, "", ""
    )
    lone = Evidence(True, False, 0, (*locked, thread("S", POLL, 0.1, tid=2)))
    assert "native" not in report(Hang("web/0", 7, 1, "", 30.0, 0.0), "library_lock", lone, "", "killing it")


KNOWN: list[tuple[Verdict, bool, int, list[Thread], bool]] = [
    ("gil_held", True, 1, [thread("S", LOCK)], False),
    ("gil_held", True, 1, [thread("R", "", 1.0)], False),
    ("gil_held", False, 2, [thread("S", LOCK), thread("R", "", 1.0, tid=2)], True),
    ("library_lock", True, 0, [thread("S", LOCK)], False),
    ("waiting_for_io", True, 0, [thread("S", POLL)], False),
    ("blocked_loop", True, 0, [thread("S", SLEEP)], False),
    ("blocked_loop", True, 0, [thread("R", "", 1.0)], False),
    ("computing", False, 0, [thread("R", "", 1.0)], False),
    ("computing", False, 2, [thread("R", "", 1.0), thread("R", "", 1.0, tid=2)], False),
]


@pytest.mark.parametrize(("expected", "loop", "gil", "threads", "contended"), KNOWN)
def test_verdict_with_a_known_holder_of_the_gil(
    expected: Verdict, loop: bool, gil: int, threads: Iterable[Thread], contended: bool
) -> None:
    assert verdict(Evidence(loop, False, 0, tuple(threads), contended=contended, gil=gil)) == expected


def test_report_names_who_holds_the_gil_or_why_that_is_not_known() -> None:
    hang, threads = Hang("web/0", 7, 1, "", 9.0, 0.0), (thread(), thread(tid=2))
    held = report(hang, "gil_held", Evidence(True, False, 0, threads, gil=2), "", "killing it")
    assert ": thread 2 (python) holds the GIL; killing it" in held.splitlines()[0]
    unread = report(hang, "gil_held", Evidence(True, False, 0, threads, unread="no permission"), "", "killing it")
    assert "holds the GIL" not in unread
    assert unread.splitlines()[-1] == "  no stacks: the worker does not respond; no permission"


def test_report_has_subject_figures_and_stacks() -> None:
    evidence = Evidence(True, True, 0, (thread("S", "hrtimer_nanosleep"),))
    stacks = "app.py, line 3\n" * 200
    text = report(Hang("web/0", 7, 3, "GET /slow", 8.25, 0.0), "blocked_loop", evidence, stacks, "killing it")
    first, doing, state, *lines = text.splitlines()
    sentence = SENTENCES["blocked_loop"]
    assert first == f"web/0: hung for 8.2 s (pid 7, generation 3): blocked_loop: {sentence}; killing it"
    assert doing == "  request: GET /slow"
    assert "hrtimer_nanosleep" in state
    assert lines[0] == "  app.py, line 3"
    assert lines[-1] == "  ... 80 more lines"
    assert "4.5 s of it starved of CPU)" in report(Hang("web/0", 7, 3, "", 9.0, 4.5), "computing", evidence, "", "")


def hung(pid: int, over: bool = False) -> ev.WorkerHung:
    return ev.WorkerHung(pid, "deadlock", Hang("web/0", pid, 1, "GET /", 30.0, 0.0), "the report", over)


def test_hung_worker_is_killed_and_replaced_at_once_each_time() -> None:
    stage = Stage(plan()).start()
    for _ in range(5):
        stage.now += 3600
        pid = stage.pid("web/0")
        actions = stage.feed(hung(pid))
        assert actions == [act.Report("the report", "fact"), act.KillWorker(pid, "hung for 30.0 s: deadlock")]
        stage.rest()
        assert stage.pid("web/0") != pid


def test_workers_that_hang_in_their_first_requests_back_off() -> None:
    stage = Stage(plan()).start()
    starts = []
    for _ in range(4):
        stage.now += 31
        stage.feed(hung(stage.pid("web/0")))
        began = stage.now
        stage.rest()
        if "web/0" not in stage.serving():
            stage.late()
            stage.rest()
        starts.append(stage.now - began)
    assert starts == [0, 1, 2, 4]
    assert "degraded, restarting in 4 s (4 failures in a row)" in "\n".join(stage.world.reports)


def test_hang_in_the_first_requests_stops_a_rollout() -> None:
    stage = Stage(plan("a", web=4), plan("b", web=4)).start()
    stage.command(Reload())
    # The last one takes long to become ready.
    stage.rest(but=lambda event: isinstance(event, ev.WorkerReady) and len(stage.serving(2)) == 3)
    stage.now += 31
    stage.feed(hung(next(pid for pid, one in stage.world.processes.items() if one.generation == 2 and one.ready)))
    stage.rest(but=lambda event: isinstance(event, ev.WorkerReady) and stage.world.processes[event.pid].generation == 2)
    assert not stage.reply().ok
    assert stage.reply().text.endswith("; the old code goes on serving (generation 1)")
    stage.rest()
    assert stage.serving(1) == ["solo", "web/0", "web/1", "web/2", "web/3"]


def test_worker_with_policy_report_or_recovered_is_kept() -> None:
    stage = Stage(plan(hang_policy="report")).start()
    assert stage.feed(hung(stage.pid("web/0"))) == [act.Report("the report", "fact")]
    stage = Stage(plan()).start()
    assert stage.feed(hung(stage.pid("web/0"), over=True)) == [act.Report("the report", "fact")]


def test_worker_with_a_stuck_request_is_reported_and_kept() -> None:
    stage = Stage(plan()).start()
    pid = stage.pid("web/0")
    stuck = ev.WorkerStuck(pid, "sleeping", Hang("web/0", pid, 1, "GET /", 30.0, 0.0, free=7), "the report")
    assert stage.feed(stuck) == [act.Report("the report", "fact")]


def test_events_of_an_ended_process_are_ignored() -> None:
    stage = Stage(plan()).start()
    for event in hung(999999), ev.WorkerStopped(999999, 19, 30.0), ev.WorkerContinued(999999):
        assert stage.feed(event) == []


def test_stopped_or_starved_worker_is_reported_and_kept() -> None:
    stage = Stage(plan()).start()
    pid = stage.pid("web/0")
    for event in ev.WorkerStopped(pid, 19, 30.0), ev.WorkerContinued(pid), ev.WorkerStarved(pid, 31.0):
        (told,) = stage.feed(event)
        assert isinstance(told, act.Report)
    assert isinstance(stage.feed(ev.MachineSlept(60.0))[0], act.Report)
