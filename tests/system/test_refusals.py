"""What cannot be is refused by name, with exit code 2, and leaves nothing running."""

from __future__ import annotations

import os
import re
import signal
import sys

import pytest

from support import Start

HEAD = """
import enum, os, pathlib, signal, sys
from dataclasses import dataclass, field
from typing import Any
import prefork

in_worker = sys.argv[1:] == ["worker"]

def work(worker):
    print("ready", worker, os.getpid())
    signal.pause()
"""

TAIL = """
def update(resource):
    print("update", flush=True)
    prefork.update_worker_set(resource, make())
    return 1

def fork(worker):
    print("fork", flush=True)
    return prefork.fork_worker_process(worker, ["worker"])

prefork.default_main(lambda: prefork.relaunch_settings(prefork.PreforkResource(), update, fork), work)
"""


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        ("str | bytes", "Worker.value: "),
        ("dict", "Worker.value: its type allows values that JSON would change"),
        ("'Missing'", "Worker: its annotations cannot be evaluated"),
    ],
)
def test_field_that_cannot_be_sent_is_refused_first(start: Start, annotation: str, why: str) -> None:
    source = f"""
@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int
    value: {annotation} = field(compare=False)

def make():
    return []
"""
    program = start.program(HEAD + source + TAIL)
    assert program.wait() == 2
    assert program.out == []
    assert len(program.err) == 1
    assert program.err[0].startswith(f"prefork: {why}")


@pytest.mark.parametrize("value", ["float('nan')", "None"])
def test_value_that_would_not_come_back_is_refused_first(start: Start, value: str) -> None:
    source = f"""
@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int
    value: float = field(compare=False)

def make():
    return [Worker(0, 1.5), Worker(1, {value})]
"""
    program = start.program(HEAD + source + TAIL)
    assert program.wait() == 2
    assert program.out == ["update"], "no worker was started"
    assert len(program.err) == 1
    assert program.err[0].startswith("prefork: hook update_config: Worker.value: ")


@pytest.mark.parametrize("decorator", ["", "@dataclass", "@dataclass(frozen=True, eq=False)"])
def test_a_class_that_is_no_frozen_dataclass_is_refused(start: Start, decorator: str) -> None:
    source = f"""
{decorator}
class Worker(prefork.WorkerContext):
    id: int = 0

def make():
    return [Worker()]
"""
    program = start.program(HEAD + source + TAIL)
    assert program.wait() == 2
    assert "fork" not in program.out
    assert "decorate Worker with @dataclass(frozen=True)" in program.err[-1]


WORKER = """
@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int
"""
UNFINDABLE = {
    "not defined": (
        "if not in_worker:" + WORKER.replace("\n", "\n    "),
        "no context class of kind 'worker' (known: none)",
    ),
    "renamed": (
        WORKER.replace("Context)", "Context, kind='other' if in_worker else 'worker')"),
        "no context class of kind 'worker' (known: other)",
    ),
    "other fields": (
        f"{WORKER}    if in_worker: more: int = 0",
        "Worker was sent no value for more: its code has changed; give a new parameter a default, or restart",
    ),
    "another type": (
        WORKER.replace("int", "str if in_worker else int"),
        "Worker.id: Expected `str`, got `int`",
    ),
    "a decoder that raises": (
        f"{WORKER}    def decode(data): raise RuntimeError('on\\ntwo \"lines\"' + 9_999 * '\\0')",
        'RuntimeError: on\n    two "lines"',
    ),
}


@pytest.mark.parametrize("case", UNFINDABLE)
def test_a_context_that_the_worker_cannot_decode_ends_it_all(start: Start, case: str) -> None:
    source, why = UNFINDABLE[case]
    program = start.program(HEAD + source + "\ndef make():\n    return [Worker(i) for i in range(2)]\n" + TAIL)
    assert program.wait() == 2
    assert program.left() == []
    said = "\n".join(program.err)
    for number in range(2):
        if f"worker/{number}" in said:
            assert f"prefork: worker/{number}: cannot decode its context (pid " in said
    assert f"): {why}" in said
    assert "Traceback" not in said


CHANGING = """
@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int
    if in_worker and os.path.exists("changed"):
        more: int = 0

def make():
    return [Worker(0)]
"""


def test_later_decode_failure_is_reported_and_master_goes_on(start: Start) -> None:
    program = start.program(HEAD + CHANGING + TAIL)
    program.expect("^ready Worker")
    (start.directory / "changed").touch()
    program.send(1)
    refused = r"worker/0: cannot decode its context \(pid \d+\): Worker was sent no value for more"
    program.expect(f"^prefork: reload failed: {refused}", "err")
    os.kill(program.children()[0], signal.SIGKILL)
    for _ in range(2):  # Tried again, and slowed down.
        program.expect(f"^prefork: {refused}", "err")
    (start.directory / "changed").unlink()
    program.expect("^ready Worker")
    assert program.stop() == 0


def test_a_worker_that_never_reaches_its_context_is_told_of(start: Start) -> None:
    source = "\nif in_worker:\n    sys.exit('a mistake that only a worker meets')\n" + CHANGING
    program = start.program(HEAD + source + TAIL)
    program.expect("^a mistake that only a worker meets$", "err")
    program.expect(r"^prefork: worker/0: exited 1 before it decoded its context \(pid \d+\)$", "err")
    assert program.wait() == 1


@pytest.mark.parametrize("options", ["['script.py']", "['-c', 'pass']", "['-']", "['-m', 'x']"])
def test_interpreter_options_that_are_none_are_refused(start: Start, options: str) -> None:
    source = f"""
@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int

    def interpreter_options(self):
        return {options}

def make():
    return [Worker(0)]
"""
    program = start.program(HEAD + source + TAIL)
    assert program.wait() == 2
    assert "interpreter_options() may return options only" in program.err[0]
    assert program.left() == []


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ("worker, 'worker'", "args: 'worker' is not a list of strings"),
        ("worker, ['a\\0b']", "contains a NUL byte"),
        ("'worker'", "takes a WorkerContext, not 'worker'"),
        ("Spoken(0)", "interpreter_options(): '-O' is not a list of strings"),
    ],
)
def test_what_a_worker_cannot_be_started_with_is_refused(start: Start, call: str, complaint: str) -> None:
    source = """
@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int

@dataclass(frozen=True)
class Spoken(prefork.WorkerContext):
    id: int

    def interpreter_options(self):
        return ["-O", None][self.id]

def make():
    return [Worker(0)]
"""
    program = start.program(HEAD + source + TAIL.replace('worker, ["worker"]', call))
    assert program.wait() == 2
    assert len(program.err) == 1
    assert complaint in program.err[0]
    assert program.left() == []


def test_a_fork_that_returns_no_pid_is_told_of(start: Start) -> None:
    """Its workers would never be told to end at a reload."""
    source = """
@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int

def make():
    return [Worker(0), Worker(1)]
"""
    program = start.program(HEAD + source + TAIL.replace("return prefork.fork", "prefork.fork"))
    assert program.wait() == 2
    assert program.err == [
        "prefork: hook update_server: fork returned None for worker/0, not its pid: is its `return` missing?"
    ]
    assert program.left() == []


def test_too_large_context_is_refused_before_the_start(start: Start) -> None:
    source = """
@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int
    text: str = field(compare=False)

def make():
    return [Worker(0, "x" * (64 << 20))]
"""
    program = start.program(HEAD + source + TAIL)
    assert program.wait() == 2
    assert program.out.count("fork") == 1
    assert len(program.err) == 1
    why = r"worker worker/0: its context has 671\d{5} bytes, and no more than 67108864 can be sent in all: "
    assert re.match(f"prefork: hook update_server: {why}", program.err[0])
    assert program.left() == []


@pytest.mark.parametrize("descriptor", ["99", "-1", "1"])
def test_a_descriptor_that_cannot_be_handed_over_is_refused(start: Start, descriptor: str) -> None:
    source = f"""
@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int
    held: prefork.Descriptor = field(compare=False)

def make():
    return [Worker(0, prefork.Descriptor({descriptor}))]
"""
    program = start.program(HEAD + source + TAIL)
    assert program.wait() == 2
    assert f"worker worker/0: descriptor {descriptor} cannot be inherited" in program.err[0]
    assert program.left() == []


def test_starting_a_worker_outside_of_a_hook_is_refused(start: Start) -> None:
    source = """
@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int

try:
    prefork.fork_worker_process(Worker(0))
except prefork.UsageError as error:
    print(error)
"""
    program = start.program(HEAD + source)
    assert program.wait() == 0
    (line,) = program.out
    assert line.startswith("fork_worker_process() was called outside of a hook: call it in update_server")


@pytest.mark.parametrize(
    ("settings", "action", "complaint"),
    [
        ("lambda: None", "print", "the settings are None, not PreforkSettings"),
        ("{}", "print", "the settings are {}, not PreforkSettings"),
        ("prefork.default_settings", "None", "the workers' action is None, not a plain function"),
        ("prefork.default_settings", "work", "the workers' action is <function work at "),
    ],
)
def test_settings_and_actions_that_are_none_are_refused(
    start: Start, settings: str, action: str, complaint: str
) -> None:
    program = start.program(f"import prefork\nasync def work(worker): pass\nprefork.default_main({settings}, {action})")
    assert program.wait() == 2
    assert len(program.err) == 1
    assert program.err[0].startswith(f"prefork: {complaint}")


def test_a_worker_cannot_become_one_a_second_time(start: Start) -> None:
    """The descriptors of its role are numbers of its own files by then."""
    source = """
@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    id: int

def make():
    return [Worker(0)]

def main_again(worker):
    files = [open("/dev/null") for _ in range(20)]
    try:
        prefork.default_main(prefork.default_settings(), print)
    except SystemExit as left:
        print("status", left.code, sum(os.fstat(file.fileno()) is not None for file in files))
    signal.pause()
"""
    program = start.program(HEAD + source + TAIL.replace(", work)", ", main_again)"))
    program.expect("^status 2 20$")
    program.expect(r"^prefork: this process is the worker worker/0 already: call default_main\(\) once$", "err")
    assert program.stop() == 0


def test_a_master_that_has_no_descriptors_left_says_so(start: Start) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (6, 6))\n"
    program = start.program(limited + "import prefork\nprefork.default_main(prefork.default_settings(), print)")
    assert program.wait() == 1
    assert len(program.err) == 1
    assert program.err[0] == "prefork: cannot start the master: [Errno 24] Too many open files"


def test_a_directory_that_has_another_name_by_now_is_said(start: Start) -> None:
    """Like one that the user may not enter: the master, and all that it starts, is to be where the program began."""
    source = "import os, prefork\ndaemon = prefork.Daemon('moved')\nos.rename(os.getcwd(), '../new')\ndaemon.run()\n"
    (start.directory / "old").mkdir()
    (start.directory / "old" / "program.py").write_text(source)
    program = start.command(sys.executable, "program.py", cwd=start.directory / "old")
    assert program.wait() == 1
    assert program.err == [f"prefork: the directory {start.directory}/old cannot be entered: No such file or directory"]
