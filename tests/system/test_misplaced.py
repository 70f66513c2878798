"""A master that would start inside another daemon, or in a child of multiprocessing: refused, with what to type."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from support import PROOF, Start
from system.daemons import HEAD
from system.runs import PREFORK, check, write

HOOKS = """
import concurrent.futures, multiprocessing, os, signal, sys, time
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Greeter(prefork.WorkerContext):
    id: int

def update(resource):
    prefork.update_worker_set(resource, [Greeter(0)])
    return "configuration"

def work(worker):
    print("ready", os.getpid())
    WORK
    signal.pause()

def main():
    settings = prefork.relaunch_settings(prefork.PreforkResource(), update, prefork.fork_worker_process)
    prefork.CALL(settings, work)
"""
DAEMON = f"""{HEAD}
import concurrent.futures, multiprocessing
daemon = prefork.Daemon("hello")

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web)
def work(worker):
    say("ready", os.getpid())
    WORK
    worker.wait_draining()

def main():
    daemon.run()
"""
GUARD = 'if __name__ == "__main__":\n    main()\n'
NOTHING = "pass"


def hooks(work: str = NOTHING, end: str = "main()\n", call: str = "default_main") -> str:
    return HOOKS.replace("WORK", work).replace("CALL", call) + end


def daemon(work: str = NOTHING, end: str = "main()\n") -> str:
    return DAEMON.replace("WORK", work) + end


def inside(name: str, command: str, call: str = "default_main()") -> str:
    return (
        f"{name} starts a master of its own by {call}, and no other daemon can contain it: type `{command}` to run it; "
        'to import it, put the call below `if __name__ == "__main__":`'
    )


GREETERS = inside("greeters.py", "python greeters.py")
CHECKED = {
    "hooks": ({"greeters.py": hooks()}, "greeters.py", GREETERS),
    "the other name": ({"greeters.py": hooks(call="run_settings")}, "greeters:work", GREETERS),
    "imported": ({"greeters.py": hooks(), "shop.py": "import greeters\napp = greeters.work"}, "shop:app", GREETERS),
    "factory": ({"greeters.py": hooks(end="")}, "greeters:main", GREETERS),
    "in a package": (
        {"pkg/greeters.py": hooks(), "pkg/__init__.py": ""},
        "pkg.greeters",
        inside("pkg.greeters", "python -m pkg.greeters"),
    ),
    "daemon": ({"hello.py": daemon()}, "hello.py", inside("hello.py", "python hello.py", "Daemon.run()")),
    "imported daemon": (
        {"hello.py": daemon(), "shop.py": "import hello\ndef app(worker): pass"},
        "shop",
        inside("hello.py", "python hello.py", "Daemon.run()"),
    ),
    "behind the guard": (
        {"greeters.py": hooks(end=GUARD)},
        "greeters.py",
        "greeters.py is a program with hooks, which starts its own master: type `python greeters.py`",
    ),
}


FEW = ["hooks", "imported", "in a package", "daemon"]


@pytest.mark.parametrize("case", CHECKED if PROOF else FEW)
def test_check_of_a_program_with_a_master_is_refused(start: Start, case: str) -> None:
    files, target, sentence = CHECKED[case]
    for name, source in files.items():
        write(start, name, source)
    status, out, err = check(start, target)
    assert (status, out) == (1, "")
    assert err == f"prefork: {target} cannot be run\n{sentence}"


def test_run_of_a_program_with_a_master_is_refused(start: Start) -> None:
    write(start, "greeters.py", hooks())
    running = start.command(PREFORK, "run", "greeters.py", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    assert running.wait() == 1
    assert [line for line in running.err if GREETERS in line]
    assert "Traceback" not in "\n".join(running.err)
    assert running.left() == []


@pytest.mark.parametrize(
    ("place", "call", "name"),
    [
        ("worker", "prefork.default_main(prefork.default_settings(), print)", "default_main()"),
        ("worker", "prefork.Daemon('inner').run()", "Daemon.run()"),
        ("plan", "daemon.run()", "Daemon.run()"),
    ],
)
def test_process_of_a_daemon_starts_no_master(start: Start, place: str, call: str, name: str) -> None:
    source = daemon(call if place == "worker" else NOTHING, GUARD)
    write(start, "hello.py", source.replace("return [Web(0)]", call) if place == "plan" else source)
    running = start.command(sys.executable, "hello.py", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    sentence = inside("hello.py", "python hello.py", name)
    running.expect(re.escape(sentence), "err")
    assert running.wait() == 1, "no worker was ever ready"
    assert "Traceback" not in "\n".join(running.err)


def test_worker_of_hooks_starts_no_daemon(start: Start) -> None:
    write(start, "greeters.py", hooks("prefork.Daemon('inner').run()"))
    running = start.command(sys.executable, "greeters.py")
    running.expect(re.escape(inside("greeters.py", "python greeters.py", "Daemon.run()")), "err")
    running.stop()


@pytest.mark.parametrize("call", ["main()", "prefork.Daemon('inner').run()"])
def test_hook_starts_no_master(start: Start, call: str) -> None:
    write(start, "greeters.py", hooks().replace('return "configuration"', call))
    running = start.command(sys.executable, "greeters.py")
    assert running.wait() == 2
    assert len(running.err) == 1
    assert running.err[0].startswith("prefork: ")
    assert running.left() == []


CHILDREN = """
    # The fork server of 3.14 imports the program itself, and ends with it: its client has an error of Python's own.
    for method in ("spawn", "fork") if sys.version_info >= (3, 14) else ("spawn", "forkserver", "fork"):
        child = multiprocessing.get_context(method).Process(target=main)
        child.start()
        child.join()
        os.write(1, f"{method} {child.exitcode}\\n".encode())
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        raised = pool.submit(main).exception()
    os.write(1, f"pool {raised!r}\\n".encode())
"""


def child(name: str, call: str) -> str:
    return (
        f"prefork: {name} reached {call} in a child process of multiprocessing, where no master may start: "
        f'put the call below `if __name__ == "__main__":`, and start it by `python {name}`'
    )


@pytest.mark.parametrize(
    ("name", "source", "call"),
    [("greeters.py", hooks(CHILDREN), "default_main()"), ("hello.py", daemon(CHILDREN), "Daemon.run()")],
    ids=["hooks", "daemon"],
)
def test_child_of_multiprocessing_is_no_master(start: Start, name: str, source: str, call: str) -> None:
    write(start, name, source)
    running = start.command(sys.executable, name, env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    running.expect(r"^spawn 2$")
    if sys.version_info < (3, 14):
        running.expect(r"^forkserver [12]$")
    running.expect(r"^fork 2$")
    running.expect(r"^pool SystemExit\(2\)$")
    running.send(signal.SIGTERM)
    assert running.wait() == 0  # The fork server may end after it.
    assert running.err.count(child(name, call)) == (3 if sys.version_info >= (3, 14) else 4)
    assert "Traceback" not in "\n".join(running.err)


ORPHANED = """
    master = os.getppid()
    say("waiting")
    while os.getppid() == master:
        time.sleep(0.01)
    child = multiprocessing.get_context("spawn").Process(target=main)
    child.start()
    child.join()
    say("child", child.exitcode)
    os._exit(0)
"""


def test_child_of_multiprocessing_is_no_next_master(start: Start) -> None:
    write(start, "hello.py", daemon(ORPHANED).replace('Daemon("hello"', 'Daemon("hello", orphan_grace=30'))
    running = start.command(sys.executable, "hello.py", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    running.expect("^waiting$")
    running.send(signal.SIGKILL)
    running.expect(r"^child 2$")
    assert running.wait() == -signal.SIGKILL


WORKING = """
    for method in "spawn", "forkserver":
        child = multiprocessing.get_context(method).Process(target=print, args=("child of", method))
        child.start()
        child.join()
"""


@pytest.mark.parametrize("source", [hooks(WORKING, GUARD), daemon(WORKING, GUARD)], ids=["hooks", "daemon"])
def test_guarded_program_may_use_multiprocessing(start: Start, source: str) -> None:
    write(start, "program.py", source)
    running = start.command(sys.executable, "program.py", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    running.expect("^child of spawn$")
    running.expect("^child of forkserver$")
    running.send(signal.SIGTERM)
    assert running.wait() == 0
    assert not any("may start" in line or "Traceback" in line for line in running.err)
