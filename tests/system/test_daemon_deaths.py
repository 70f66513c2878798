"""Deaths, all of them accounted for: of workers, molds and masters, at any moment, and what each leaves behind."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from support import PROOF, Start, gone, state, until
from system.daemons import HEAD, RUN, Served, alive, forget_workers

FAILING = (
    HEAD
    + """
daemon = prefork.Daemon("failing")

@daemon.plan
def plan():
    return [Web(0), Web(1)]

@daemon.worker(Web)
def web(worker):
    %s
"""
    + RUN
)

HANGING = (
    FAILING
    % """say("hangs", os.getpid())
    worker.ready()
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    time.sleep(60)"""
)


def test_no_worker_ready_ends_with_the_reason_last(start: Start) -> None:
    served = Served(start, "failing", FAILING % 'raise ValueError("no such table")').launch()
    assert served.running.wait() == 1
    assert served.running.err[-1] == "    ValueError: no such table"
    assert "prefork" not in "".join(line for line in served.running.err if line.startswith("  File"))
    assert not served.running.left()


def test_first_mold_failure_ends_with_its_traceback(start: Start) -> None:
    served = Served(start, "first", more="import a_module_that_is_not_there\n").launch()
    # In script mode the program itself fails, before run(); by `prefork run` it fails in the mold.
    prefork = Path(sys.executable).with_name("prefork")
    if not prefork.exists():
        pytest.skip("the command prefork is not installed beside the interpreter")
    assert served.running.wait() == 1
    served.launch(prefork, "run", "program:daemon", "--name", "first")
    assert served.running.wait() == 1
    assert served.running.err[-1] == "    ModuleNotFoundError: No module named 'a_module_that_is_not_there'"
    assert not any("/prefork/" in line for line in served.running.err)


LEAVES_A_JOB = (
    HEAD
    + """
from concurrent.futures import ThreadPoolExecutor

daemon = prefork.Daemon("leaves")

def job():
    time.sleep(11)
    say("the job is done")

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web, drain_timeout=60)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    worker.wait_draining()
    ThreadPoolExecutor().submit(job)
"""
    + RUN
)


def test_threads_left_by_a_function_get_the_drain_time(start: Start) -> None:
    daemon = Served(start, "leaves", LEAVES_A_JOB).launch()
    daemon.ready("web/0")
    daemon.signal(signal.SIGTERM)
    daemon.running.expect("the job is done")
    assert daemon.running.wait() == 0
    assert not [line for line in daemon.running.err if line.startswith("web/0")]


CRASHING = (
    HEAD
    + """
daemon = prefork.Daemon("crashing", listeners={"http": "tcp://127.0.0.1:PORT"})

@dataclass(frozen=True)
class Bad(prefork.WorkerContext):
    pass

@daemon.plan
def plan():
    return [Web(0), Bad()]

@daemon.worker(Web)
def web(worker):
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        with connection:
            connection.sendall(f"{worker.key} g{worker.generation} {os.getpid()} ".encode())

@daemon.worker(Bad)
def bad(worker):
    worker.ready()
    say("bad", os.getpid())
    os.kill(os.getpid(), signal.SIGSEGV)
"""
    + RUN
)


def test_a_crash_loop_degrades_its_own_slot_and_no_other(start: Start) -> None:
    served = Served(start, "crashing", CRASHING).launch()
    pids = served.ready("web/0")
    for _ in range(5):
        served.running.expect(r"bad \d+")
    served.running.expect("killed by SIGSEGV", "err")
    assert served.ask()[2] == pids["web/0"]
    served.signal(signal.SIGQUIT)
    served.running.expect("bad degraded|bad .*degraded", "err")
    os.kill(pids["web/0"], signal.SIGKILL)
    served.ready("web/0")
    assert served.stop() == 0


def test_a_mold_that_dies_is_replaced_and_nothing_else_happens(start: Start) -> None:
    served = Served(start, "molds").launch()
    pids = served.ready("web/0", "web/1")
    for _ in range(3):
        former = served.mold
        os.kill(former, signal.SIGKILL)
        until(lambda: served.mold != former, "another mold")  # noqa: B023 - used at once
    assert all(alive(pid) for pid in pids.values())
    os.kill(pids["web/0"], signal.SIGKILL)
    served.ready("web/0")
    assert served.stop() == 0


def test_a_stopped_mold_is_replaced_when_it_is_needed(start: Start) -> None:
    served = Served(start, "stopped", options="spares=0").launch()
    pids = served.ready("web/0", "web/1")
    mold = served.mold
    os.kill(mold, signal.SIGSTOP)
    until(lambda: state(mold) == "T", "it has stopped")
    os.kill(pids["web/0"], signal.SIGKILL)
    until(lambda: not alive(pids["web/0"]), "it takes no connection along")
    assert served.ask()[2] == pids["web/1"]
    served.running.expect("mold of generation 1: asked to fork while it is stopped; ending it", "err")
    served.ready("web/0")
    assert served.mold != mold
    os.kill(served.mold, signal.SIGSTOP)
    assert served.stop() == 0


PARENTS = (
    HEAD
    + """
daemon = prefork.Daemon("parents")

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web)
def web(worker):
    near = os.fork()
    if near == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True: signal.pause()
    left, leaves = os.pipe()
    far = os.fork()
    if far == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(leaves, b"it has left the session")
        while True: signal.pause()
    os.read(left, 100)
    worker.ready()
    say("children", near, far, "of", os.getpid())
    worker.wait_draining()
"""
    + RUN
)


def test_workers_session_ends_with_it(start: Start) -> None:
    served = Served(start, "parents", PARENTS).launch()
    near, far, worker = map(int, served.running.expect(r"children (\d+) (\d+) of (\d+)").groups())
    os.kill(worker, signal.SIGKILL)
    assert gone(near)
    served.running.expect(r"children (\d+) (\d+) of (\d+)")
    assert alive(far)
    assert served.stop() == 0
    assert gone(far)
    assert any("leftover process: killed" in line and f"(pid {far})" in line for line in served.running.err)


def test_what_strangers_leave_is_reaped_while_the_daemon_runs(start: Start) -> None:
    served = Served(
        start,
        "reaps",
        FAILING.replace('"failing"', '"reaps"') % "os.fork() or (os.setsid(), os.fork(), os._exit(0)); "
        'say("forked"); worker.wait_draining()',
    ).launch()
    served.running.expect("forked")
    served.running.expect("forked")
    until(lambda: "Z" not in [state(pid) for pid in all_children(served.running.pid)], "no zombie of the master's")
    assert served.stop() == 0


def all_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_orphans_serve_until_the_next_master_ends_them(start: Start) -> None:
    served = Served(start, "orphans").launch()
    old = served.ready("web/0", "web/1")
    os.kill(served.running.pid, signal.SIGKILL)
    served.running.wait()
    assert served.ask()[2] in old.values()
    forget_workers(start)
    served.launch()
    new = served.ready("web/0", "web/1")
    served.running.expect("orphans: found", "err")
    assert {served.ask()[2] for _ in range(40)} <= {*old.values(), *new.values()}
    assert all(gone(pid) for pid in old.values())
    assert {served.ask()[2] for _ in range(10)} <= {*new.values()}
    assert served.stop() == 0


def test_master_after_a_failed_one_takes_over_orphans(start: Start) -> None:
    served = Served(start, "thrice", options="orphan_grace=20").launch()
    old = served.ready("web/0", "web/1")
    served.signal(signal.SIGKILL)
    served.running.wait()
    forget_workers(start)
    served.write(plan="1 / 0")
    assert served.launch().running.wait() == 1
    served.write(plan="[Web(0), Web(1)]")
    served.launch()
    served.ready("web/0", "web/1")
    named = served.running.expect(r"orphans: found \d workers? of a previous master \(pid ([\d, ]+)\);", "err")[1]
    assert sorted(map(int, named.split(", "))) == sorted(old.values())
    for pid in old.values():
        os.kill(pid, signal.SIGKILL)  # They would have their grace; who sees to that is another test's.
    assert served.stop() == 0


def test_hanging_orphans_are_ended_by_a_later_master(start: Start) -> None:
    served = Served(start, "failing", HANGING.replace("(Web)\n", "(Web, drain_timeout=1)\n"))
    pids: list[int] = []
    for _ in range(2):
        served.launch()
        pids += [int(served.running.expect(r"hangs (\d+)")[1]) for _ in range(2)]
        served.signal(signal.SIGKILL)
        served.running.wait()
        forget_workers(start)
    served.write(FAILING % "worker.wait_draining()")
    served.launch()
    assert all(gone(pid) for pid in pids)
    assert served.stop() == 0


def test_without_grace_hanging_workers_end_with_the_master(start: Start) -> None:
    source = HANGING.replace('Daemon("failing")', 'Daemon("failing", orphan_grace=0)')
    served = Served(start, "failing", source).launch()
    pids = [int(served.running.expect(r"hangs (\d+)")[1]) for _ in range(2)]
    os.kill(served.running.pid, signal.SIGKILL)
    assert all(gone(pid) for pid in pids)


def test_second_master_is_refused_with_the_firsts_pid(start: Start) -> None:
    first = Served(start, "twice").launch()
    first.ready("web/0", "web/1")
    running, pid = first.running, first.running.pid
    first.launch()
    assert first.running.wait() == 2
    place = f"{start.directory}/runtime"
    told = f"pid {pid} (runtime directory {place}; `prefork status -n {place}` shows it)"
    assert first.running.err == [f"prefork: the daemon twice is already running: {told}"]
    assert running.stop() == 0


def test_worker_never_ready_is_killed_at_its_timeout(start: Start) -> None:
    # One of the two may be on its second try already when the other's failure ends the daemon: that one drains first.
    kind = "@daemon.worker(Web, start_timeout=0.5, drain_timeout=0.5)"
    source = (FAILING % "time.sleep(60)").replace("@daemon.worker(Web)", kind)
    served = Served(start, "failing", source).launch()
    assert served.running.wait() == 1
    assert any("killed by the master" in line and "0.5 s" in line for line in served.running.err), served.running.err
    assert not served.running.left()


MANY = 50 if PROOF else 20


def test_many_deaths_at_once_do_no_harm(start: Start) -> None:
    served = Served(start, "many", plan=f"[Web(i) for i in range({MANY})]").launch()
    keys = [f"web/{i}" for i in range(MANY)]
    pids = served.ready(*keys)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    again = served.ready(*keys)
    assert not {*again.values()} & {*pids.values()}
    assert served.stop() == 0


def test_soft_limit_of_open_files_applies_to_workers_only(start: Start) -> None:
    says = 'import resource\nsay("limit", resource.getrlimit(resource.RLIMIT_NOFILE))\n'
    served = Served(start, "many", plan="[Web(i) for i in range(24)]", more=says)
    served.launch("sh", "-c", f"ulimit -Sn 32; ulimit -Hn 1000; exec {sys.executable} program.py")
    served.ready(*(f"web/{i}" for i in range(24)))
    assert [line for line in served.running.out if line.startswith("limit")] == ["limit (32, 1000)"] * 2
    assert resource.prlimit(served.running.pid, resource.RLIMIT_NOFILE) == (1000, 1000)
    assert served.stop() == 0


def test_where_the_hard_limit_is_too_low_the_log_says_what_to_do(start: Start) -> None:
    served = Served(start, "many", plan="[Web(i) for i in range(50)]", options="capture=True")
    served.launch("sh", "-c", f"ulimit -n 120; exec {sys.executable} program.py")
    served.running.expect(r"web/\d+: setup failed: .* limit of 120 open files: .*LimitNOFILE=", "err")
    assert served.stop() == 0


def test_with_no_descriptors_left_the_daemon_serves_on(start: Start) -> None:
    served = Served(start, "poor").launch()
    pids = served.ready("web/0", "web/1")
    master = served.running.pid
    until(lambda: len(served.running.children()) == 4, "its spare is there")
    used = len(os.listdir(f"/proc/{master}/fd"))
    resource.prlimit(master, resource.RLIMIT_NOFILE, (used - 2, 4096))
    os.kill(pids["web/0"], signal.SIGKILL)
    served.ready("web/0")
    served.signal(signal.SIGHUP)
    served.running.expect(r"reload: .*failed", "err")
    assert served.ask()[1] == 1
    resource.prlimit(master, resource.RLIMIT_NOFILE, (1024, 4096))
    served.signal(signal.SIGHUP)
    served.running.expect(r"reload: done \(generation 3\)", "err")
    assert served.stop() == 0
