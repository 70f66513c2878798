"""What a daemon writes: workers' output with who wrote it, the log for people and for programs, and log files."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sys

import pytest

from support import Start, state, until
from system.daemons import HEAD, RUN, Served

COMMAND = (sys.executable, "program.py")

WRITERS = """
print("importing")

daemon = prefork.Daemon("writers", capture=True)

@daemon.plan
def plan():
    sys.stderr.write("planning" + chr(10))
    return [Web(i) for i in range(WORKERS)]

@daemon.worker(Web, SPAWN)
def web(worker):
    WORK
    worker.wait_draining()
    print("bye")
"""


def writers(start: Start, work: str, workers: int = 2, spawn: str = "") -> Served:
    """Return a daemon whose output is captured."""
    program = WRITERS.replace("WORKERS", str(workers)).replace("WORK", work.replace("\n", "\n    "))
    return Served(start, "writers", HEAD + program.replace("SPAWN", spawn) + RUN)


def by_writer(lines: list[str]) -> dict[str, list[str]]:
    """Return the captured lines by who wrote them; each has to say so."""
    found: dict[str, list[str]] = {}
    for line in lines:
        match = re.fullmatch(r"(\S+) g1 \d+ \| (.*)", line)
        assert match, line
        found.setdefault(match[1], []).append(match[2])
    return found


@pytest.mark.parametrize("spawn", ["", "spawn='exec'"])
def test_each_line_is_whole_and_says_who_wrote_it(start: Start, spawn: str) -> None:
    work = """
print("hello")
os.system("echo from a child")
for number in range(20):
    sys.stdout.write(worker.key[-1] * 4_999 + chr(10))
print("an error", file=sys.stderr)
"""
    workers = 2 if spawn else 4
    served = writers(start, work, workers, spawn).launch()
    served.running.expect_each([f"^web/{number} g1 .* an error$" for number in range(workers)], "err")
    assert served.running.stop() == 0
    assert served.running.out[0] == "importing", "the program itself, before it is the master"
    found = by_writer(served.running.out[1:])
    assert found.pop("mold") == ["importing"]
    imported = ["importing"] if spawn else []
    for number in range(workers):
        lines = found.pop(f"web/{number}")
        assert lines == [*imported, "hello", "from a child", *[str(number) * 4_999] * 20, "bye"]
    assert not found
    errors = by_writer([line for line in served.running.err if " | " in line])
    assert errors.pop("mold") == ["planning"]
    assert errors == {f"web/{number}": ["an error"] for number in range(workers)}


def test_a_stalled_reader_stops_the_workers_and_not_the_master(start: Start) -> None:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    served = writers(start, "for number in range(50_000): print(number)\nprint('done', file=sys.stderr)")
    served.running = start.command(*COMMAND, env=served.environment, stdout=write_end)
    until(lambda: not select.select([], [write_end], [], 0)[1], "the reader's pipe is full")
    os.close(write_end)
    workers = [pid for pid in served.running.children() if state(pid) != "Z"]
    until(lambda: all(state(pid) == "S" for pid in workers), "all wait")
    for _ in range(3):
        served.running.send(signal.SIGQUIT)
        served.running.expect("2 slots", "err")
    assert not any("done" in line for line in served.running.err)
    served.running.listen("out", read_end)
    served.running.expect_each(["web/0 .* done", "web/1 .* done"], "err")
    # The master waits two seconds for the last of it, and no longer; on a busy machine we may be slower.
    served.running.expect_each([r"^web/0 .* \| 49999$", r"^web/1 .* \| 49999$"])
    assert served.running.stop() == 0
    found = by_writer(served.running.out[1:])
    for key in "web/0", "web/1":
        assert found[key] == [*map(str, range(50_000)), "bye"]


FAILING = """
@daemon.worker(Web)
def web(worker):
    if worker.key == "web/0":
        worker.ready()
        say("up")
        raise ValueError("no good")
    worker.wait_draining()
"""


def failing(start: Start, options: str) -> Served:
    """Return a daemon one of whose workers fails again and again."""
    head = f'daemon = prefork.Daemon("failing", {options})\n@daemon.plan\ndef plan():\n    return [Web(0), Web(1)]\n'
    return Served(start, "failing", HEAD + head + FAILING + RUN)


def test_what_fails_again_and_again_is_said_once_in_a_while(start: Start) -> None:
    served = failing(start, "").launch()
    for _ in range(7):
        served.running.expect("^up$")
    assert served.running.stop() == 0
    each = [line for line in served.running.err if line.startswith("web/0: exited 1 after ")]
    (told,) = [line for line in served.running.err if line.startswith("web/0: failed ")]
    assert len(each) in (5, 6), "the last may have been asked to end already"
    assert re.match(
        r"web/0: failed [678] times in \d+ s \(backing off\); last: web/0: (exited 1|killed by SIGTERM) after", told
    )
    assert served.running.err.count("    ValueError: no good") == 1


def test_all_that_a_daemon_says_is_json_where_that_is_wanted(start: Start) -> None:
    served = failing(start, "log_format='json', log_level='debug', capture=True").launch()
    for _ in range(7):
        served.running.expect('"slot":"web/0",.*"text":"up"')
    served.running.send(signal.SIGQUIT)
    served.running.expect('"signal":"QUIT"', "err")
    assert served.running.stop() == 0
    out, err = (list(map(json.loads, lines)) for lines in (served.running.out, served.running.err))
    assert {(line["event"], line["stream"], line["text"]) for line in out} == {("output", "stdout", "up")}
    assert all(isinstance(line["time"], float) for line in out + err)
    ended = [line for line in err if line["event"] == "ended" and line["slot"] == "web/0"]
    assert len(ended) in (5, 6), "the last may have been asked to end already"
    assert ended[0]["report"].startswith("Traceback ")
    assert ended[0]["report"].endswith("ValueError: no good")
    assert "report" not in ended[1], "it was the same"
    assert ended[0]["text"].startswith("web/0: exited 1 after ")
    assert ended[0]["text"].endswith(f" (pid {ended[0]['pid']}, generation 1); restarting")
    (repeated,) = [line for line in err if line["event"] == "repeated"]
    assert (repeated["slot"], repeated["of"], repeated["backing_off"]) == ("web/0", "ended", True)
    (state_,) = [line for line in err if line.get("signal") == "QUIT"]
    assert "web/1 ready" in state_["report"]
    assert {"ready", "ordered", "draining", "mold_started", "planned"} <= {line["event"] for line in err}
    numbers = [line["number"] for line in err if "number" in line]
    assert numbers == sorted(numbers)


def test_the_log_says_who_asked_for_what_and_what_came_of_it(start: Start) -> None:
    served = Served(start, "asked").launch()
    served.ready("web/0", "web/1")
    served.running.send(signal.SIGHUP)
    served.running.expect("^prefork: signal HUP received$", "err")
    served.running.expect(r"^reload: done \(generation 2\)$", "err")
    served.running.send(signal.SIGUSR1)  # Without a log file there is nothing to open again.
    served.running.expect("^prefork: signal USR1 received$", "err")
    assert served.ask()[1] == 2
    assert served.running.stop() == 0
    assert not any("ready after" in line for line in served.running.err), "that is for log_level debug"


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_there_are_colours_on_a_terminal_for_those_who_want_them(
    start: Start, environ: dict[str, str], coloured: bool
) -> None:
    served = failing(start, "capture=True")
    ours, theirs = pty.openpty()
    environment = {**served.environment, "TERM": "xterm", **environ}
    environment.setdefault("NO_COLOR", "")
    served.running = start.command(*COMMAND, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    served.running.listen("out", ours)
    line = served.running.expect(r"web/0: exited 1 after .* \(pid \d+, generation 1\)").string
    dated = re.match(DATE, line)
    assert dated
    assert line[dated.end() :].startswith("\033[31m") == line.endswith("\033[0m") == coloured
    served.running.send(signal.SIGTERM)
    assert served.running.wait() == 0
    up = next(line for line in served.running.out if line.endswith("up"))
    mark = r"\033\[\d+mweb/0 g1 \d+ \|\033\[0m" if coloured else r"web/0 g1 \d+ \|"
    assert re.fullmatch(f"{DATE}{mark} up", up)
    assert any("\033" in line for line in served.running.out) == coloured


DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} "


def test_a_log_file_is_opened_again_when_it_has_been_rotated(start: Start) -> None:
    """With what workers write in it; by a real rename, as logrotate does it."""
    work = "say('up', worker.key)\nimport signal as s\nwhile not worker.wait_draining(0.05): print('still here')"
    served = writers(start, work)
    served.file.write_text(served.file.read_text().replace("capture=True", 'capture=True, log_file="daemon.log"'))
    log, old = start.directory / "daemon.log", start.directory / "daemon.log.1"
    served.launch()
    until(lambda: log.exists() and log.read_text().count("up web/") == 2, "both are up")
    assert log.stat().st_mode & 0o777 == 0o640
    log.rename(old)
    served.running.send(signal.SIGUSR1)
    until(lambda: log.exists() and "still here" in log.read_text(), "the new file is written to")
    former = old.read_bytes()
    assert former.endswith(b"\n")
    served.running.send(signal.SIGHUP)
    until(lambda: "reload: done (generation 2)" in log.read_text(), "it goes on")
    assert served.running.stop() == 0
    assert old.read_bytes() == former
    assert re.search(f"^{DATE}prefork: signal USR1 received$", former.decode(), re.MULTILINE)
    assert all(re.match(DATE, line) for line in (former.decode() + log.read_text()).splitlines())
    assert re.search(rf"^{DATE}web/1 g2 \d+ \| bye$", log.read_text(), re.MULTILINE)
    assert served.running.err == []
    assert served.running.out == ["importing"]


def test_a_log_file_that_cannot_be_opened_again_is_gone_on_with(start: Start) -> None:
    folder = start.directory / "logs"
    folder.mkdir()
    served = Served(start, "rotated", options='log_file="logs/a.log"').launch()
    served.ready("web/0", "web/1")
    log = (folder / "a.log").rename(start.directory / "moved.log")
    folder.rmdir()
    served.running.send(signal.SIGUSR1)
    until(lambda: "No such file or directory; continuing in the file that is open" in log.read_text(), "it says so")
    served.running.send(signal.SIGHUP)
    until(lambda: "reload: done (generation 2)" in log.read_text(), "it goes on")
    assert served.running.stop() == 0


def test_a_log_file_that_cannot_be_written_ends_the_start(start: Start) -> None:
    served = Served(start, "nowhere", options='log_file="no/such/a.log"').launch()
    assert served.running.wait() == 1
    path = start.directory / "no/such/a.log"
    assert served.running.err == [
        f"prefork: cannot open the log file {path} for writing: No such file or directory",
    ]


def test_failed_start_says_where_the_reason_is(start: Start) -> None:
    served = Served(start, "bad", plan="1 / 0", options='log_file="a.log"').launch()
    assert served.running.wait() == 1
    log = start.directory / "a.log"
    assert served.running.err == [f"prefork: bad failed; see {log}"]
    assert log.read_text().endswith("ZeroDivisionError: division by zero\n")


def test_lines_have_a_time_where_no_journal_adds_it(start: Start) -> None:
    served = Served(start, "timed")
    served.running = start.command(*COMMAND, env={**served.environment, "JOURNAL_STREAM": ""})
    served.ready("web/0", "web/1")
    served.running.send(signal.SIGUSR1)
    served.running.expect(f"^{DATE}prefork: signal USR1 received$", "err")
    assert served.running.stop() == 0
    assert all(re.match(DATE, line) for line in served.running.err)
