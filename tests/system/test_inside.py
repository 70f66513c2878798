"""What can be seen inside workers: the stacks of living ones, and the reports of those that crashed."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import sys
from pathlib import Path

import pytest

import prefork
from prefork._core.events import ProcessExit
from prefork._master.hangs.crashes import KEPT, Crash, Crashes
from prefork._master.identity.lock import Lock, Noted
from prefork._master.loop import Master
from support import Start, gone, until
from system.daemons import HEAD, RUN, Served
from system.runs import PREFORK
from system.test_hangs import asked, client_of, line_of, run


def test_stacks_of_a_healthy_worker_are_shown_without_harm(start: Start) -> None:
    healthy = run(start)
    pid, _ = healthy.who()
    client = client_of(start)
    for _ in range(5):
        (found,) = client.stacks("web/0")
        assert (found["slot"], found["pid"], found["verdict"], found["doing"]) == ("web/0", pid, "idle", "")
        assert 'uvicorn.py", line' in found["text"]
        assert "tasks" in found["text"]
    with asked(healthy.port, "/await"):
        until(lambda: client.stacks()[0]["doing"] == "GET /await", "it works")
        (found,) = client.stacks()
        assert 'app.py", line' in found["text"], "where the request waits"
    assert healthy.who()[0] == pid
    assert healthy.stop() == 0


def test_one_that_does_not_answer_is_only_forced_by_who_insists(start: Start) -> None:
    hanging = run(start, "--hang-timeout", "60")
    client = client_of(start)
    with asked(hanging.port, "/gil"):
        until(lambda: client.stacks("web/0")[0]["verdict"] == "gil_held", "it hangs")
        (found,) = client.stacks("web/0")
        if sys.version_info < (3, 14):  # From then on the stacks are read from outside.
            assert "no stacks: the worker does not respond" in found["text"]
        (found,) = client.stacks("web/0", force=True)
        assert f'app.py", line {line_of("gil")} in app' in found["text"]
    os.kill(found["pid"], signal.SIGKILL)
    until(lambda: hanging.who()[0] != found["pid"], "its successor")
    assert hanging.stop() == 0


def test_a_slot_without_a_worker_has_no_stacks(start: Start) -> None:
    daemon = run(start)
    with pytest.raises(prefork.CommandFailedError, match="no worker in web/7"):
        client_of(start).stacks("web/7")
    assert daemon.stop() == 0


def test_the_commands_show_the_same(start: Start) -> None:
    hanging = run(start)
    runtime = str(start.directory / "runtime")
    old, _ = hanging.who()
    shown = start.command(PREFORK, "stacks", "web/0", "-n", runtime)
    assert shown.wait() == 0
    # It may have been seen just as it turned to something of its own, and is said to be idle for so long.
    assert re.match(rf"web/0 \(pid {old}, generation 1\): idle( for \S+ s)?: it has nothing to do$", shown.out[0])
    with asked(hanging.port, "/sleep"):
        hanging.running.expect(r"killed by .* hung for", "err")
    listed = start.command(PREFORK, "crashes", "-n", runtime, "--json")
    assert listed.wait() == 0
    (crash,) = map(json.loads, listed.out)
    assert (crash["slot"], crash["pid"], crash["doing"], crash["status"]) == ("web/0", old, "GET /sleep", -9)
    assert "blocked_loop" in crash["hang"]
    assert f'app.py", line {line_of("sleep")} in app' in crash["hang"]
    one = start.command(PREFORK, "crashes", str(crash["number"]), "-n", runtime)
    assert one.wait() == 0
    assert any("during GET /sleep" in line for line in one.out)
    missing = start.command(PREFORK, "crashes", "99", "-n", runtime)
    assert missing.wait() == 1
    assert "no crash report 99; `prefork crashes` lists them" in missing.err[0]
    assert hanging.stop() == 0


def test_quit_writes_the_stacks_of_all_to_the_log(start: Start) -> None:
    daemon = run(start)
    pid, _ = daemon.who()
    daemon.running.send(signal.SIGQUIT)
    daemon.running.expect(rf"^web/0 \(pid {pid}\): idle$", "err")
    daemon.running.expect(r'File ".*uvicorn.py", line', "err")
    assert daemon.stop() == 0


CRASHING = (
    HEAD
    + """
daemon = prefork.Daemon("crashing", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        with connection, worker.request("the last one"):
            raise ValueError("no such luck")
"""
    + RUN
)


def test_a_crash_leaves_a_report_for_this_user_alone(start: Start) -> None:
    crashing = Served(start, "crashing", CRASHING).launch()
    old = crashing.ready("web/0")["web/0"]
    with asked(crashing.port, "/"):
        crashing.running.expect("ValueError: no such luck", "err")
        crashing.ready("web/0")
    assert gone(old)
    directory = start.directory / "runtime" / "crashes"
    until(lambda: (directory / "1.json").exists(), "the report")
    assert stat.S_IMODE((directory / "1.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    (crash,) = client_of(start).crashes()
    assert (crash["slot"], crash["pid"], crash["generation"], crash["status"]) == ("web/0", old, 1, 1)
    assert crash["reason"] == "exited 1"
    assert "ValueError: no such luck" in crash["failure"]
    used = crash["usage"]
    assert 0 < (used["user"] or 0) + (used["system"] or 0) < 60
    assert (used["memory"] or 0) > 1_000_000
    assert crashing.stop() == 0
    assert len(list(directory.iterdir())) == 1, "an ordinary end leaves none"


def test_only_last_reports_are_kept_and_each_is_whole(tmp_path: Path) -> None:
    crash = Crash("web/0", 1, "exited 3", "", [])
    with Master() as master:
        lock = Lock(str(tmp_path), Noted("chat"))
        for numbers in (range(1, 31), range(31, 34)):
            crashes = Crashes(master, lock)
            for number in numbers:
                crashes.note(number, "failure", "x" * 100_000)
                crashes.ended(ProcessExit(number, 3, (0.1, 0.2, 1)), crash)
            crashes.close()
        names = {path.name for path in (tmp_path / "crashes").iterdir()}
    assert names == {f"{number}.json" for number in range(33 - KEPT + 1, 34)}


def test_a_report_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "crashes").write_text("in the way")
    with Master() as master:
        crashes = Crashes(master, Lock(str(tmp_path), Noted("chat")))
        crashes.ended(ProcessExit(7, 3), Crash("web/0", 1, "exited 3", "", []))
        crashes.close()
