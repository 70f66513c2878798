"""Exits of children: by pidfds, or by SIGCHLD without them; children of a hook are not reaped."""

from __future__ import annotations

import os
import signal

import pytest

from support import Start

PROGRAM = """
import os, resource, signal, subprocess, sys
from dataclasses import dataclass
import prefork

way, *_ = sys.argv[1:] or ["worker"]
if way == "no pidfd_open":
    del os.pidfd_open

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int

def work(worker):
    print("ready", worker.id, os.getpid())
    signal.pause()

def fork(context):
    return prefork.fork_worker_process(context)

def update(workers):
    prefork.update_worker_set(workers, [Waiting(i) for i in range(2)])
    return "configuration"

def limited(settings):
    def update_server(config):
        started = settings.update_server(config)
        with open("/dev/null") as lowest_free:  # None is left for pidfd_open.
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno(), LIMIT[1]))
        return started
    return update_server

def unlimit(_config):
    resource.setrlimit(resource.RLIMIT_NOFILE, LIMIT)
    print("unlimited", flush=True)

LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)

def settings():
    made = prefork.relaunch_settings(prefork.PreforkResource(), update, fork)
    if way == "no descriptor left":
        made = prefork.PreforkSettings(**{**vars(made), "update_server": limited(made), "on_quit": unlimit})
    return made

prefork.default_main(settings, work)
"""


@pytest.mark.parametrize("way", ["pidfd", "no pidfd_open"])
def test_dead_worker_is_replaced(start: Start, way: str) -> None:
    program = start.program(PROGRAM, way)
    workers = {match[1]: int(match[2]) for match in (program.expect(r"^ready (\d) (\d+)") for _ in range(2))}
    for number, pid in workers.items():
        os.kill(pid, signal.SIGKILL)
        program.expect(rf"^prefork: waiting/{number}: killed by SIGKILL \(pid {pid}\)$", "err")
        program.expect(rf"^ready {number} \d+$")
    for pid in program.children():
        os.kill(pid, signal.SIGKILL)
    program.expect_each([rf"^ready {number} \d+$" for number in range(2)])
    assert program.stop() == 0


def test_exit_is_noticed_without_free_descriptors(start: Start) -> None:
    program = start.program(PROGRAM, "no descriptor left")
    workers = [int(program.expect(r"^ready \d (\d+)")[1]) for _ in range(2)]
    os.kill(workers[0], signal.SIGKILL)
    program.expect(rf"killed by SIGKILL \(pid {workers[0]}\)$", "err")
    program.expect(r"^prefork: hook on_child_finished: cannot start worker .*Too many open files", "err")
    program.send(signal.SIGQUIT)
    program.expect("^unlimited$")
    program.expect(r"^ready \d \d+$")  # It is tried again without anything having happened.
    assert program.stop() == 0


FOREIGN = """
import os, signal, subprocess, sys
from dataclasses import dataclass
import prefork

way = sys.argv[1] if sys.argv[1:] else ""
if "no pidfd_open" in way:
    del os.pidfd_open

@dataclass(frozen=True)
class Short(prefork.WorkerContext):
    id: int

def work(worker):
    sys.exit(3)

def update_server(_config):
    print("a program of the hook's own:", subprocess.run(["sh", "-c", "exit 7"]).returncode, flush=True)
    in_the_background.append(subprocess.Popen(["sh", "-c", "exit 8"]))
    pid = prefork.fork_worker_process(Short(0))
    if "reaped by the hook" in way:
        print("reaped with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return [pid]

def finished(_config):
    print("finished", in_the_background.pop().wait(), flush=True)

in_the_background = []
prefork.default_main(prefork.PreforkSettings(
    update_config=lambda: 1,
    update_server=update_server,
    cleanup_child=lambda _config, pid: print("cleanup", pid, flush=True),
    on_child_finished=finished,
), work)
"""


@pytest.mark.parametrize("way", ["pidfd_open", "no pidfd_open"])
def test_children_of_a_hook_are_not_reaped(start: Start, way: str) -> None:
    program = start.program(FOREIGN, way)
    program.expect("^a program of the hook's own: 7$")
    pid = program.expect(r"^cleanup (\d+)$")[1]
    program.expect("^finished 8$")
    program.expect(rf"^prefork: short/0: exited 3 \(pid {pid}\)$", "err")
    assert program.stop() == 0


@pytest.mark.parametrize("way", ["pidfd_open", "no pidfd_open"])
def test_worker_reaped_by_the_hook_counts_as_exited(start: Start, way: str) -> None:
    program = start.program(FOREIGN, f"{way}, reaped by the hook")
    program.expect("^reaped with 3$")
    program.expect(r"^cleanup \d+$")
    program.expect("^finished 8$")
    assert program.stop() == 0


LEFT = """
import os, selectors, subprocess, sys
from setproctitle import setproctitle
from prefork._linux.signals import SignalInbox
from prefork._master.children import ExitWatch, LeftoverProcesses

ready, told = os.pipe()
if os.fork() == 0:
    setproctitle("prefork: spare g1 shop")
    os.write(told, b".")
    os.read(os.pipe()[0], 1)
other = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
other.stdin.write(b".")
other.stdin.flush()
other.stdout.read(1)  # Its command line is there: the kernel lets Popen return before that.
os.read(ready, 1)
left = LeftoverProcesses(ExitWatch(selectors.DefaultSelector(), SignalInbox()))
for line in left.kill_all():
    print(line)
while left.any_left():
    os.wait()
"""


def test_spare_that_was_being_born_is_not_named_a_leftover(start: Start) -> None:
    """The stop came before it: its mold has ended, and so would the spare."""
    program = start.program(LEFT)
    program.expect(r"^leftover process: killed \(pid \d+\): cat$")
    assert program.wait() == 0
    assert not [line for line in program.out if "spare" in line]
