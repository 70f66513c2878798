"""Reloads, ends and starts of hooks programs that fail, with processes; each program goes through several of them."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from load import Load
from support import PROOF, Running, Start, command_line, gone, until

LAZY = """
import argparse, os, signal, socket, sys
from dataclasses import dataclass, field, replace
import prefork

@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    wId: int
    wPort: int = field(compare=False)
    wSocketFd: {type} = field(compare=False)

def work(worker):
    with socket.socket(fileno=worker.wSocketFd) as listener:
        print("serves", worker.wId, listener.getsockname()[1], flush=True)
        signal.pause()

{module}

opened = []

def update(resource):
    prefork.update_worker_set(resource, [Web(i, PORT, -1) for i in range(2)])
    return "configuration"

def fork(worker):
    if not opened:
        opened.append(socket.create_server(("127.0.0.1", PORT)))
    return prefork.fork_worker_process(replace(worker, wSocketFd=opened[0].fileno()), [f"id={{worker.wId}}"])

if __name__ == "__main__":
    PORT = int(os.environ["PORT"])
    prefork.default_main(lambda: prefork.relaunch_settings(prefork.PreforkResource(), update, fork), work)
"""


def lazy(start: Start, port: int, module: str = "", kind: str = "prefork.Descriptor") -> Running:
    return start.program(
        LAZY.format(module=module, type=kind), "-p", str(port), env={"PORT": str(port), "OTHER": str(free_port())}
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_port_in_use_in_fork_ends_the_daemon(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        program = lazy(start, taken.getsockname()[1])
        assert program.wait() == 1
    assert "Address already in use" in program.err[-1]
    assert program.left() == []


MODULES = {
    "parser = argparse.ArgumentParser(); parser.add_argument('-p', required=True); parser.parse_args()": "exited 2",
    "taken = socket.create_server(('127.0.0.1', int(os.environ['OTHER'])))": "exited 1",
}


@pytest.mark.parametrize("module", MODULES)
def test_module_that_only_the_master_can_run_ends_the_daemon(start: Start, module: str) -> None:
    program = lazy(start, free_port(), module)
    assert program.wait() == 1
    assert "prefork: " in program.err[-1]
    text = "\n".join(program.err)
    assert f"{MODULES[module]} before it decoded its context" in text
    assert program.left() == []


def test_int_that_was_meant_as_a_descriptor_is_named(start: Start) -> None:
    program = lazy(start, free_port(), kind="int")
    hint = program.expect("^prefork: hint: ", "err").string
    assert re.search(r"prefork\.Descriptor; int is the type of wSocketFd=\d+ in Web$", hint)
    assert program.stop() == 0


CHANGING = """
import os, signal, subprocess, sys, time
from dataclasses import dataclass, field
import prefork

VERSION = 0
MODE = ""

@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int
    # more

def work(worker):
    if MODE == "slow":
        print("begins", os.getpid())
        sys.stdin = open("go")
    prefork.ready()
    print("ready", VERSION, worker.id, os.getpid())
    if MODE == "stays":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("child", subprocess.Popen(["sleep", "600"]).pid, os.getpid())  # Last: it may have no reader then.
    while True:
        signal.pause()

def update(resource):
    if os.path.exists("refuse"):
        prefork.update_worker_set(resource, [Web(i) for i in range(5)])
        raise ValueError("no such value")
    prefork.update_worker_set(resource, [Web(i) for i in range(2)])
    return "configuration"

if __name__ == "__main__":
    settings = prefork.relaunch_settings(prefork.PreforkResource(), update, prefork.fork_worker_process)
    prefork.default_main(__import__("dataclasses").replace(settings, drain_timeout=1.0), work)
"""


def rewrite(start: Start, version: int, *changes: tuple[str, str]) -> None:
    source = CHANGING.replace("VERSION = 0", f"VERSION = {version}")
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    path = start.directory / "program.py"
    path.with_suffix(".new").write_text(source)
    path.with_suffix(".new").rename(path)


def ready(program: Running, version: int) -> list[int]:
    return [int(program.expect(rf"^ready {version} \d (\d+)$")[1]) for _ in range(2)]


def staying(program: Running) -> list[int]:
    """Return the pids of two workers that stay, and of their children."""
    lines = [program.expect(r"^child (\d+) (\d+)$") for _ in range(2)]
    return [int(line[number]) for line in lines for number in (1, 2)]


def test_reloads_that_fail_leave_the_former_workers(start: Start) -> None:
    program = start.program(CHANGING)
    former = ready(program, 0)
    failures: list[tuple[tuple[str, str], str]] = [
        (("VERSION = 1", "VERSION = = 1"), "exited 1 before it decoded its context"),
        (
            ("# more", "name: str = field(compare=False, kw_only=True)"),
            "cannot decode its context .*Web was sent no value for name: its code has changed",
        ),
        (("    prefork.ready()", "    sys.exit(3)"), "exited 3"),
    ]
    for change, reason in failures:
        rewrite(start, 1, change)
        program.send(signal.SIGHUP)
        program.expect(rf"^prefork: reload failed: web/\d: {reason}.*the former workers .* stay$", "err")
        until(lambda: sorted(program.children()) == sorted(former), "only the former ones are left")
    (start.directory / "refuse").write_text("")
    program.send(signal.SIGHUP)
    program.expect("^    ValueError: no such value$", "err")
    (start.directory / "refuse").unlink()
    rewrite(start, 2)
    os.kill(former[0], signal.SIGKILL)
    program.expect(r"^ready 2 \d \d+$")
    assert len(program.children()) == 2, "and not five"
    program.send(signal.SIGHUP)
    ready(program, 2)
    assert all(gone(pid) for pid in former)
    assert program.stop() == 0


NAME = "name: str = field(default='', compare=False)"
PORT = "port: int = field(default=80, compare=False)"


def test_reload_takes_the_contexts_of_the_former_program(start: Start) -> None:
    program = start.program(CHANGING.replace("# more", NAME))
    former = ready(program, 0)
    for version, more in enumerate((f"{NAME}\n    {PORT}", "pass"), 1):
        rewrite(start, version, ("# more", more))
        program.send(signal.SIGHUP)
        new = ready(program, version)
        assert all(gone(pid) for pid in former)
        former = new
    rewrite(start, 3, ("# more", PORT))
    program.send(signal.SIGHUP)
    program.expect("^prefork: reload failed: .*Web was sent a value for name and none for port: .* renamed", "err")
    until(lambda: sorted(program.children()) == sorted(former), "only the former ones are left")
    assert program.stop() == 0


def test_former_workers_end_when_the_new_ones_are_ready(start: Start) -> None:
    program = start.program(CHANGING)
    former = ready(program, 0)
    os.mkfifo(start.directory / "go")
    rewrite(start, 1, ('MODE = ""', 'MODE = "slow"'))
    program.send(signal.SIGHUP)
    for _ in range(2):
        program.expect("^begins")
    assert not any(gone(pid, 0.2) for pid in former)
    with open(start.directory / "go", "w"):
        new = ready(program, 1)
    assert all(gone(pid) for pid in former)
    assert sorted(program.children()) == sorted(new)
    assert program.stop() == 0


def test_workers_that_stay_are_killed_with_their_sessions(start: Start) -> None:
    program = start.program(CHANGING.replace('MODE = ""', 'MODE = "stays"'))
    first = staying(program)
    program.send(signal.SIGHUP)
    second = staying(program)
    assert all(gone(pid) for pid in first)
    program.expect("still there 1 s after it was asked to end; killing its session", "err")
    program.send(signal.SIGTERM)
    assert program.wait() == 4
    assert all(gone(pid) for pid in second)


def test_second_int_ends_at_once(start: Start) -> None:
    source = CHANGING.replace('MODE = ""', 'MODE = "stays"').replace("drain_timeout=1.0", "drain_timeout=600")
    program = start.program(source)
    pids = staying(program)
    program.send(signal.SIGINT)
    program.send(signal.SIGQUIT)
    assert not any(gone(pid, 0.1) for pid in pids)
    program.send(signal.SIGINT)
    assert program.wait() == 0
    assert program.err == ["prefork: INT again: killing 2 workers"]
    assert all(gone(pid) for pid in pids)


def test_workers_that_stay_do_not_outlive_a_killed_master(start: Start) -> None:
    program = start.program(CHANGING.replace('MODE = ""', 'MODE = "stays"'))
    pids = staying(program)
    program.send(signal.SIGKILL)
    begun = time.monotonic()
    assert all(gone(pid) for pid in pids)
    assert time.monotonic() - begun > 5, "they have some time for their work"


BODY = b"6\r\nhello\n\r\n0\r\n\r\n"
SITE = """
import time
from dataclasses import dataclass, field
import prefork, prefork.samples.web as web
# change
if __name__ == "__main__":
    web.main()
"""
CHANGES = [
    ("def broken(:", "exited 1"),
    ("raise RuntimeError('no database')", "exited 1"),
    ("@dataclass(frozen=True)\nclass Other(prefork.WorkerContext, kind='web'):\n    name: str", "cannot decode"),
    ("time.sleep(3)", ""),
    ("", ""),
]


def workers(web: Running) -> set[int]:
    return {pid for pid in web.children() if command_line(pid)}


def test_five_reloads_under_load_lose_nothing(start: Start) -> None:
    site = start.directory / "site_.py"
    site.write_text(SITE)
    web = start.command(sys.executable, site, "-p", "0", "-w", "2")
    port = int(web.expect(r"^Serving http://127.0.0.1:(\d+)/")[1])
    until(lambda: len(workers(web)) == 2, "two workers")
    with Load(port, BODY, clients=16 if PROOF else 4) as load:
        load.more(20)
        for change, reason in CHANGES:
            before = workers(web)
            Path(f"{site}.new").write_text(SITE.replace("# change", change))
            os.replace(f"{site}.new", site)
            web.send(signal.SIGHUP)
            if reason:
                web.expect(f"^prefork: reload failed: web/.: .*{reason}", "err")
                until(lambda: workers(web) == before, "the former ones")  # noqa: B023
            else:
                until(lambda: len(workers(web)) == 2 and not workers(web) & before, "two new ones")  # noqa: B023
            load.more(2000 if PROOF else 50)
    assert load.failures == {}
    assert web.stop() == 0
