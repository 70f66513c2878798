"""What comes again and again is said once in a while: in virtual time."""

from __future__ import annotations

from prefork._report.folding import BURST, WINDOW, Folding
from prefork._report.news import usual


class Log:
    """A folding and its clock, as the log uses them."""

    def __init__(self) -> None:
        self.folding = Folding()
        self.now = 1000.0
        self.lines: list[str] = []

    def happens(self, slot: str, text: str, event: str = "ended") -> None:
        self.pass_time(0.0)
        if self.folding.passes(event, slot, text, True, self.now):
            self.lines.append(text)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, waking whenever there is something to be told."""
        end = self.now + seconds
        while (due := self.folding.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.tell()
        self.now = end

    def tell(self, at_once: bool = False) -> None:
        self.lines += [each.text for each in self.folding.due(self.now, at_once)]


def test_the_first_few_are_said_and_then_their_number() -> None:
    log = Log()
    for number in range(50):
        log.happens("web/2", f"web/2 (pid {number}) exited 3")
        log.pass_time(0.1)
    assert log.lines == [f"web/2 (pid {number}) exited 3" for number in range(BURST)]
    log.pass_time(5)
    assert log.lines[BURST:] == ["web/2: failed 50 times in 10 s (backing off); last: web/2 (pid 49) exited 3"]
    assert log.folding.next_deadline() is None, "nothing was counted since: no process has to wake"


def test_repeats_give_one_line_a_window_then_news_again() -> None:
    log = Log()
    for _ in range(300):
        log.happens("web/2", "web/2 exited 3")
        log.pass_time(0.1)
    log.pass_time(WINDOW)
    # The third window, in which the last ones came, has ended as well.
    assert [line.partition(" times")[0] for line in log.lines[BURST:]] == ["web/2: failed 100"] * 3
    log.pass_time(WINDOW)
    del log.lines[:]
    log.happens("web/2", "web/2 exited 3")
    assert log.lines == ["web/2 exited 3"]
    assert log.folding.next_deadline() is None


def test_many_workers_of_a_kind_are_one_line() -> None:
    log = Log()
    for number in range(500):
        log.happens(f"web/{number}", f"web/{number} exited 3")
    log.happens("queue/0", "queue/0 exited 1")
    log.pass_time(WINDOW)
    assert log.lines[BURST:] == [
        "queue/0 exited 1",
        "web: 500 workers failed 500 times in 10 s (backing off); last: web/499 exited 3",
    ]


def test_another_traceback_is_said_whenever_it_comes() -> None:
    log = Log()
    for number in range(100):
        error = "KeyError: 'x'" if number == 60 else "ValueError"
        log.happens("web/2", f"web/2 exited 1\nTraceback\n{error}")
    assert [line.rpartition("\n")[2] for line in log.lines] == ["ValueError"] * BURST + ["KeyError: 'x'"]


def test_distinct_tracebacks_are_limited() -> None:
    log = Log()
    for number in range(100):
        log.happens("web/2", f"web/2 exited 1\nTraceback\nnumber {number}")
    assert len(log.lines) < 20


def test_what_is_about_no_slot_is_counted_too() -> None:
    log = Log()
    for _ in range(20):
        log.happens("", "the mold could not fork", "fork_failed")
    log.pass_time(WINDOW)
    (line,) = log.lines[BURST:]
    assert line == "prefork: forks failed 20 times in 10 s (backing off); last: the mold could not fork"


def test_folded_commands_are_named_with_uid_and_pid() -> None:
    folding = Folding()
    for pid in range(BURST + 10):
        by = f"reload by uid {pid % 2} (pid 7)" if pid > BURST + 7 else f"scale by uid 1000 (pid {pid})"
        folding.passes("command", "", f"prefork: {by}", False, 0.0)
        folding.attribute("command", "", by)
    (line,) = folding.due(WINDOW)
    assert line.text == (
        "prefork: commands received 15 times in 10 s (scale 13 times, last by uid 1000 (pid 12); "
        "reload once by uid 1 (pid 7); reload once by uid 0 (pid 7)); last: prefork: reload by uid 0 (pid 7)"
    )


def test_a_stop_is_never_folded() -> None:
    by = {"event": "command", "by": "uid 0 (pid 7)"}
    stop, scale = (usual({**by, "command": command}) for command in ("stop", "scale"))
    assert stop is not None
    assert scale is not None
    assert (stop.folds, scale.folds) == (False, True)
    assert (scale.due_to, stop.text) == ("scale by uid 0 (pid 7)", "prefork: stop requested by uid 0 (pid 7)")


def test_at_the_end_all_is_told_at_once() -> None:
    log = Log()
    for _ in range(20):
        log.happens("web/2", "web/2 exited 3")
    log.pass_time(2)
    log.tell(at_once=True)
    assert log.lines[BURST:] == ["web/2: failed 20 times in 2 s (backing off); last: web/2 exited 3"]
    log.pass_time(100)
    assert len(log.lines) == BURST + 1
