"""Birth of a worker by exec: what it inherits, what it does not, and what happens where the system refuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys

import pytest

from support import Start, children, until

INHERITING = """
import os, signal, socket, sys
from dataclasses import dataclass, field
import prefork

@dataclass(frozen=True)
class Holder(prefork.WorkerContext):
    id: int
    listener: prefork.Descriptor = field(compare=False)
    others: tuple[prefork.Descriptor, ...] = field(compare=False)
    perhaps: prefork.Descriptor | None = field(compare=False)

def work(worker):
    # The directory is listed through one descriptor more, which is closed by the time it is looked at.
    held = {int(name): target(name) for name in os.listdir("/proc/self/fd")}
    named = [worker.listener, *worker.others]
    print("holds", sorted(number for number in held if held[number]))
    print("named", sorted(named), [os.get_inheritable(number) for number in named])
    print("others", sorted(kind for number, kind in held.items() if kind and number > 2 and number not in named))
    print("works", socket.socket(fileno=worker.listener).getsockname()[0], os.pread(worker.others[0], 4, 0))
    print("standard", held[0], held[1].partition(":")[0], held[2].partition(":")[0])
    signal.pause()

def target(name):
    try:
        return os.readlink(f"/proc/self/fd/{name}").partition(":[")[0]
    except FileNotFoundError:
        return None

def start(_config):
    own = os.open("/dev/zero", os.O_RDONLY)
    os.set_inheritable(own, True)  # The program's own, for others that it may start: not for workers.
    listener = socket.create_server(("127.0.0.1", 0))
    script = os.open("program.py", os.O_RDONLY)
    context = Holder(0, prefork.Descriptor(listener.detach()), (prefork.Descriptor(script),), None)
    return [prefork.fork_worker_process(context)]

prefork.default_main(prefork.PreforkSettings(update_config=lambda: 1, update_server=start), work)
"""


def test_worker_inherits_only_what_its_context_names(start: Start) -> None:
    with socket.socket() as foreign, open(os.devnull) as another:
        extra = [foreign.fileno(), another.fileno()]
        program = start.program(INHERITING, pass_fds=extra)
        holds = program.expect(r"^holds \[0, 1, 2, (.*)\]$")[1]
        named = program.expect(r"^named \[(.*)\] \[False, False\]$")[1]
        program.expect(r"^others \['pipe', 'pipe', 'pipe'\]$")  # The lifeline, twice, and what ready() writes to.
        program.expect(r"^works 127.0.0.1 b'..imp'$")
        program.expect("^standard /dev/null pipe pipe$")
    assert set(named.split(", ")) < set(holds.split(", "))
    assert len(holds.split(", ")) == 5
    assert program.stop() == 0


MOVING = """
import os, signal, sys
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int

def work(worker):
    print("ready", os.getcwd(), *sys.argv)
    signal.pause()

def start(_config):
    os.makedirs("elsewhere", exist_ok=True)
    os.chdir("elsewhere")
    if sys.argv[1:] == ["gone"]:
        os.rmdir("../elsewhere")
    pid = prefork.fork_worker_process(Waiting(0), ["argument"])
    if sys.argv[1:] != ["gone"]:
        print("master", os.getcwd())
    return [pid]

prefork.default_main(prefork.PreforkSettings(update_config=lambda: 1, update_server=start), work)
"""


def test_the_program_is_found_after_it_has_changed_directory(start: Start) -> None:
    program = start.program(MOVING)
    program.expect(f"^master {re.escape(str(start.directory))}/elsewhere$")
    program.expect(f"^ready {re.escape(str(start.directory))} program.py argument$")
    assert program.stop() == 0


def test_program_is_found_without_its_directory(start: Start) -> None:
    program = start.program(MOVING, "gone")
    program.expect(f"^ready {re.escape(str(start.directory))} program.py argument$")
    assert program.stop() == 0


LEAVING = """
import os, signal, sys
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int

def work(worker):
    print("ready")
    signal.pause()

def start(_config):
    if sys.argv[1] == "removed":
        os.rmdir(os.getcwd())
    else:
        os.makedirs("elsewhere", exist_ok=True)
        os.chmod("elsewhere", 0o111)
        os.chdir("elsewhere")
    present = os.stat(".").st_ino
    pid = prefork.fork_worker_process(Waiting(0))
    print("stayed", os.stat(".").st_ino == present)
    return [pid]

prefork.default_main(prefork.PreforkSettings(update_config=lambda: 1, update_server=start), work)
"""


def test_workers_start_where_the_directory_is_gone(start: Start) -> None:
    script = start.directory / "program.py"
    script.write_text(LEAVING)
    (start.directory / "sub").mkdir()
    program = start.command(sys.executable, script, "removed", cwd=start.directory / "sub")
    program.expect("^stayed True$")
    program.expect("^ready$")
    assert program.stop() == 0


def test_workers_start_from_an_unreadable_directory(start: Start) -> None:
    (start.directory / "program.py").write_text(LEAVING)
    held = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []  # A root whom modes hold back.
    if held and start.command(*held, "true").wait() != 0:
        pytest.skip("setpriv cannot take rights away here")
    program = start.command(*held, sys.executable, "program.py", "unreadable")
    program.expect("^stayed True$")
    program.expect("^ready$")
    assert program.stop() == 0


REFUSED = """
import os, resource, signal, sys
from dataclasses import dataclass
import prefork

way, spare = sys.argv[1:] or ("", "")
limit = resource.getrlimit(resource.RLIMIT_NOFILE)

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int

def work(worker):
    print("ready", worker.id, os.getpid())
    signal.pause()

limited = False

def fork(worker):
    if limited:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        print("descriptors:", len(os.listdir("/proc/self/fd")), flush=True)
        with open(os.devnull) as lowest_free:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno() + int(spare), limit[1]))
    arguments = ["x" * (1 << 20)] * 8 if way == "too long" else []
    return prefork.fork_worker_process(worker, arguments)

def update(workers):
    prefork.update_worker_set(workers, [Waiting(i) for i in range(2)])
    return 1

def quit(_config):
    global limited
    limited = not limited
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    print("limited" if limited else "mended", flush=True)

def settings():
    made = prefork.relaunch_settings(prefork.PreforkResource(), update, fork)
    return prefork.PreforkSettings(**{**vars(made), "on_quit": quit})

prefork.default_main(settings, work)
"""


def test_arguments_that_are_too_long_are_the_worlds_refusal(start: Start) -> None:
    program = start.program(REFUSED, "too long", "")
    assert program.wait() == 1
    assert len(program.err) == 1
    assert "hook update_server: cannot start worker waiting/0: [Errno 7] Argument list too long" in program.err[0]


def test_where_descriptors_run_out_it_is_tried_again(start: Start) -> None:
    # Wherever they run out on the way to the worker, nothing is lost or left open.
    programs = [start.program(REFUSED, "descriptors", str(spare)) for spare in range(7)]
    for program in programs:
        victim, _ = (int(program.expect(r"^ready \d (\d+)$")[1]) for _ in range(2))
        program.send(signal.SIGQUIT)
        program.expect("^limited$")
        os.kill(victim, signal.SIGKILL)
    for program in programs:
        held = [int(program.expect("^descriptors: (.*)$")[1]) for _ in range(4)]
        assert min(held[2:]) <= max(held[:2])  # What the try before it held may be closing still.
        program.expect("^prefork: hook on_child_finished: cannot start worker .*Too many open files", "err")
    for program in programs:
        program.send(signal.SIGQUIT)
        program.expect("^mended$")
    for program in programs:
        until(lambda pid=program.pid: len(children(pid)) == 2, "both workers")  # type: ignore[misc]
        assert program.stop() == 0
