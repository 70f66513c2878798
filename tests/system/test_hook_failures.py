"""Hooks that raise, leave, or return what they should not: only a first start that fails ends the daemon."""

from __future__ import annotations

import os
import signal

import pytest

from support import Running, Start

FAILING = """
import os, signal, sys
from dataclasses import dataclass
import prefork

name, how = sys.argv[1:3]

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int

def work(worker):
    print("ready", os.getpid())
    signal.pause()

def fork(config):
    return [prefork.fork_worker_process(Waiting(0), sys.argv[1:])]

def quit(config):
    print("quit", flush=True)

def fail(hook):
    def call(*arguments):
        print("called", name, flush=True)
        result = hook(*arguments) if hook else None
        if how == "raises":
            raise RuntimeError("as it was told to")
        if how == "returns":
            return eval(sys.argv[3])
        sys.exit(int(sys.argv[3]))
    return call

hooks = {"update_config": lambda: "a", "update_server": fork, "on_child_finished": fork, "on_quit": quit}
hooks[name] = fail(hooks.get(name))
prefork.default_main(prefork.PreforkSettings(**hooks), work)
print("returned", flush=True)
"""


def provoke(program: Running, hook: str) -> None:
    """Make the hook be called in a running program, if nothing has called it yet."""
    numbers = {"on_quit": signal.SIGQUIT, "on_terminate": signal.SIGTERM, "on_interrupt": signal.SIGINT}
    if hook in numbers:
        program.send(numbers[hook])
    elif hook in ("on_child_finished", "cleanup_child"):
        os.kill(program.children()[0], signal.SIGKILL)
    elif hook == "on_finish":
        program.send(signal.SIGTERM)
    program.expect(f"^called {hook}$")


@pytest.mark.parametrize("hook", ["update_config", "on_start", "update_server"])
def test_a_hook_that_raises_at_the_start_ends_the_daemon(start: Start, hook: str) -> None:
    program = start.program(FAILING, hook, "raises")
    assert program.wait() == 1
    assert f"prefork: hook {hook}: raised an exception:" in program.err
    assert program.err[-1] == "    RuntimeError: as it was told to"
    assert program.left() == []


@pytest.mark.parametrize("hook", ["on_child_finished", "cleanup_child", "on_quit"])
def test_a_hook_that_raises_is_reported_and_the_master_goes_on(start: Start, hook: str) -> None:
    program = start.program(FAILING, hook, "raises")
    program.expect("^ready")
    provoke(program, hook)
    program.expect(f"^prefork: hook {hook}: raised an exception:$", "err")
    program.expect(r'^      File ".*/program.py", line \d+, in call$', "err")
    program.expect("^    RuntimeError: as it was told to$", "err")
    if hook == "cleanup_child":
        program.expect("^ready")
    program.send(signal.SIGHUP)
    program.expect("^ready")
    assert program.stop() == 0
    assert program.out[-1] == "returned"


@pytest.mark.parametrize("hook", ["on_terminate", "on_interrupt", "on_finish"])
def test_hook_that_raises_at_the_end_does_not_delay_it(start: Start, hook: str) -> None:
    program = start.program(FAILING, hook, "raises")
    program.expect("^ready")
    provoke(program, hook)
    assert program.wait() == 0
    assert f"prefork: hook {hook}: raised an exception:" in program.err
    assert "    RuntimeError: as it was told to" in program.err
    assert program.out[-1] == "returned"
    assert program.left() == []


def test_stopped_worker_ends_where_its_hook_raises(start: Start) -> None:
    program = start.program(FAILING, "on_terminate", "raises")
    pid = int(program.expect(r"^ready (\d+)")[1])
    os.kill(pid, signal.SIGSTOP)
    assert program.stop() == 0


HOOKS = [
    "on_start", "update_config", "update_server", "on_child_finished", "cleanup_child", "on_quit", "on_terminate",
    "on_interrupt", "on_finish",
]  # fmt: skip


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_may_end_the_daemon_by_leaving(start: Start, hook: str) -> None:
    program = start.program(FAILING, hook, "exits", "7")
    if hook not in ("on_start", "update_config", "update_server"):
        program.expect("^ready")
        provoke(program, hook)
    assert program.wait() == 7
    assert program.err == [] or "killed by SIGKILL (pid " in program.err[-1]
    assert program.left() == []


@pytest.mark.parametrize(
    ("hook", "returned"),
    [
        ("update_server", "7.5"),
        ("update_server", "[None]"),
        ("on_child_finished", "[-1]"),
        ("on_child_finished", "True"),
    ],
)
def test_what_is_no_pid_is_refused(start: Start, hook: str, returned: str) -> None:
    program = start.program(FAILING, hook, "returns", returned)
    first = int(program.expect(r"^ready (\d+)")[1])
    if hook == "on_child_finished":
        os.kill(first, signal.SIGKILL)
        program.expect("^ready")
    program.expect("^prefork: a hook returned .*, not the pids of new workers$", "err")
    assert program.stop() == 0, "the worker that the hook did start was adopted all the same"


@pytest.mark.parametrize("returned", ["[1]", "[2 ** 22 + 1]", "[2 ** 40]"])
def test_a_pid_that_is_no_child_is_not_waited_for(start: Start, returned: str) -> None:
    program = start.program(FAILING, "update_server", "returns", returned)
    program.expect(r"^prefork: process \d+: ", "err")
    program.expect("^ready")
    assert program.stop() == 0


def test_hooks_that_return_strangers_on_and_on_are_slowed_down(start: Start) -> None:
    program = start.program(FAILING, "on_child_finished", "returns", "[1]")
    os.kill(int(program.expect(r"^ready (\d+)")[1]), signal.SIGKILL)
    for _ in range(5):
        program.expect(r"^prefork: process 1: ", "err")
    assert program.stop() == 0


MISTAKEN = """
import os, signal
from dataclasses import dataclass, field
import prefork

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int
    value: float = field(compare=False)

def work(worker):
    signal.pause()

def start(_config):
    return [prefork.fork_worker_process(Waiting(i, value)) for i, value in enumerate([0.5, float("nan")])]

prefork.default_main(prefork.PreforkSettings(update_config=lambda: 1, update_server=start), work)
"""


def test_a_mistake_half_way_through_the_first_start_ends_it_all(start: Start) -> None:
    program = start.program(MISTAKEN)
    assert program.wait() == 2
    assert len(program.err) == 1
    assert program.err[0].startswith("prefork: hook update_server: Waiting.value: nan ")
    assert program.left() == []
