"""Workers that misbehave, and many or large ones."""

from __future__ import annotations

import os
import signal
import time

from support import PROOF, Start, gone, kill, state, until

PROGRAM = """
import os, signal, sys, time
from dataclasses import dataclass, field
import prefork

count, code = int(sys.argv[1]), sys.argv[2]

@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int
    load: bytes = field(default=b"", compare=False)

def work(worker):
    exec(code)

def update(resource):
    prefork.update_worker_set(resource, [Worker(i, LOAD) for i in range(count)])
    return 1

def fork(worker):
    pid = prefork.fork_worker_process(worker, sys.argv[1:])
    print("started", worker.id, pid, time.monotonic(), flush=True)
    return pid

LOAD = os.urandom(int(sys.argv[3])) if len(sys.argv) > 3 else b""
prefork.default_main(lambda: prefork.relaunch_settings(prefork.PreforkResource(), update, fork), work)
"""

WAIT = 'print("ready", worker.id, os.getpid()); signal.pause()'


FAILURES = {
    "sys.exit(3)": "exited 3",
    "raise RuntimeError('as it was told to')": "exited 1",
    "os.abort()": "killed by SIGABRT",
    "os.kill(os.getpid(), signal.SIGRTMIN + 1)": "killed by signal 35",
}


def test_worker_that_fails_at_once_restarts_more_slowly(start: Start) -> None:
    programs = {start.program(PROGRAM, "1", code): report for code, report in FAILURES.items()}
    for program, report in programs.items():
        pause, before = 0.0, float("inf")
        for _ in range(40):  # 9 would do, but on a busy machine the count may begin again.
            moment = program.expect(r"^started 0 \d+ (\S+)$")[1]
            pause, before = float(moment) - before, float(moment)
            if pause >= 0.4:
                break
        assert pause >= 0.4
        program.expect(rf"^prefork: worker/0: {report} \(pid \d+\)$", "err")
        program.expect(rf"^prefork: worker/0: failed \d+ times in 10 s; last: worker/0: {report}", "err")
        assert program.stop() == 0


def test_worker_that_returns_at_once_is_named_and_costs_little(start: Start) -> None:
    program = start.program(PROGRAM, "1", "print('done')")
    begun, cpu = time.monotonic(), os.times()
    program.expect("^started 0")
    program.expect(r"^prefork: worker/0: returned after .* with status 0 .*signal.pause\(\)", "err")
    for _ in range(3):
        program.expect("^done$")
    taken = time.monotonic() - begun
    program.stop()
    used = os.times().children_user + os.times().children_system - cpu.children_user - cpu.children_system
    assert used / taken < 0.35, "the master's own start, in a few seconds"


def test_a_stopped_worker_ends_with_the_daemon(start: Start) -> None:
    program = start.program(PROGRAM, "2", WAIT)
    pids = [int(program.expect(r"^ready \d (\d+)")[1]) for _ in range(2)]
    os.kill(pids[0], signal.SIGSTOP)
    until(lambda: state(pids[0]) == "T", "it is stopped")
    assert program.stop() == 0


def test_a_stopped_worker_is_replaced_at_a_reload(start: Start) -> None:
    program = start.program(PROGRAM, "2", WAIT)
    pids = [int(program.expect(r"^ready \d (\d+)")[1]) for _ in range(2)]
    os.kill(pids[0], signal.SIGSTOP)
    program.send(signal.SIGHUP)
    assert all(gone(pid) for pid in pids)
    program.expect_each([r"^ready 0 \d+$", r"^ready 1 \d+$"])
    assert program.stop() == 0


def test_a_worker_that_ignores_being_told_is_waited_for(start: Start) -> None:
    code = "signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'no %d\\n' % os.getpid()))\n" + WAIT.replace(
        "signal.pause()", "[signal.pause() for _ in range(99)]"
    )
    program = start.program(PROGRAM, "2", code)
    pids = [int(program.expect(r"^ready \d (\d+)")[1]) for _ in range(2)]
    for _ in range(2):  # Each TERM is passed on.
        program.send(signal.SIGTERM)
        program.expect_each([f"^no {pid}$" for pid in pids])
    assert sorted(program.children()) == sorted(pids)
    kill(pids)
    assert program.wait() == 0
    assert program.left() == []


def test_a_worker_killed_before_it_was_up_is_started_again(start: Start) -> None:
    program = start.program(PROGRAM, "1", WAIT)
    pid = int(program.expect(r"^started 0 (\d+)")[1])
    program.send(signal.SIGSTOP)
    until(lambda: state(program.pid) == "T", "it has stopped")
    os.kill(pid, signal.SIGKILL)
    program.send(signal.SIGCONT)
    program.expect(rf"^prefork: worker/0: killed by SIGKILL.* \(pid {pid}\)", "err")
    program.expect("^ready 0")
    assert program.stop() == 0


MANY = 200 if PROOF else 20


def test_many_workers_start_and_one_is_replaced(start: Start) -> None:
    program = start.program(PROGRAM, str(MANY), WAIT)
    ready = [program.expect(r"^ready (\d+) (\d+)$") for _ in range(MANY)]
    assert sorted(program.children()) == sorted(int(match[2]) for match in ready)
    victim = next(int(match[2]) for match in ready if match[1] == "17")
    os.kill(victim, signal.SIGKILL)
    program.expect(r"^ready 17 \d+$")
    assert len(program.children()) == MANY
    assert program.stop() == 0
    assert program.err == [f"prefork: worker/17: killed by SIGKILL (pid {victim})"]


def test_a_context_of_a_megabyte(start: Start) -> None:
    code = "import hashlib; print(len(worker.load), hashlib.sha256(worker.load).hexdigest())"
    program = start.program(PROGRAM, "1", code, str(1 << 20))
    first = program.expect(r"^1048576 (\w+)$")[1]
    # Random bytes, made again in each worker: they can only be equal if they were sent.
    assert program.expect(r"^1048576 (\w+)$")[1] == first
    assert program.stop() == 0
