"""The lifeline: the process that armed it is signalled when the master has died, and not before."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefork._linux import lifeline
from prefork._linux.subreaper import become_subreaper
from small_master import PATIENCE, SOURCE, readable
from support import children, state, until

pytestmark = pytest.mark.processes


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reader, writer = lifeline.create()
    yield reader, writer
    os.close(reader)
    with contextlib.suppress(OSError):
        os.close(writer)


def fork(life: Callable[[], None], writer: int) -> int:
    """A child without the write end, which has told that it is about to live."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(writer)
            life()
            os.write(tell, b"!")
            ctypes.PyDLL(None).sleep(600)
        finally:
            os._exit(1)
    os.close(tell)
    try:
        readable(told)
        assert os.read(told, 1) == b"!"
    finally:
        os.close(told)
    return pid


def status(pid: int) -> int:
    descriptor = os.pidfd_open(pid)
    readable(descriptor)
    os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, lifeline.ORPHANED])
def test_signals_a_process_that_hangs_in_c(ends: tuple[int, int], number: int) -> None:
    reader, writer = ends
    pid = fork(lambda: void(lifeline.arm(reader, number)), writer)
    os.close(writer)
    assert status(pid) == -number


def test_signals_each_of_several(ends: tuple[int, int]) -> None:
    reader, writer = ends
    pids = [fork(lambda: void(lifeline.arm(reader, signal.SIGKILL)), writer) for _ in range(3)]
    os.close(writer)
    assert [status(pid) for pid in pids] == [-signal.SIGKILL] * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("armed_first", [True, False], ids=["armed, then setuid", "setuid, then armed"])
def test_signals_across_a_change_of_user(ends: tuple[int, int], armed_first: bool) -> None:
    reader, writer = ends

    def live() -> None:
        if armed_first:
            lifeline.arm(reader, signal.SIGKILL)
        os.setgroups([])
        os.setgid(54_322)
        os.setuid(54_322)
        if not armed_first:
            lifeline.arm(reader, signal.SIGKILL)

    pid = fork(live, writer)
    os.close(writer)
    assert status(pid) == -signal.SIGKILL


def test_one_armed_too_late_is_signalled_at_once(ends: tuple[int, int]) -> None:
    reader, writer = ends
    os.close(writer)
    pid = os.fork()
    if pid == 0:
        lifeline.arm(reader, signal.SIGKILL)
        os._exit(0)
    assert status(pid) == -signal.SIGKILL


def test_closing_disarms(ends: tuple[int, int]) -> None:
    reader, writer = ends
    pid = fork(lambda: os.close(lifeline.arm(reader, signal.SIGKILL)), writer)
    os.close(writer)
    descriptor = os.pidfd_open(pid)
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    # The signal is sent inside close(): if it were to come, it would be there by now.
    assert not waiting.poll(50)
    os.close(descriptor)
    os.kill(pid, signal.SIGTERM)
    assert status(pid) == -signal.SIGTERM


def test_children_of_the_armed_process_are_left_alone(ends: tuple[int, int]) -> None:
    reader, writer = ends
    told, tell = os.pipe()

    def live() -> None:
        lifeline.arm(reader, signal.SIGKILL)
        pid = os.fork()
        if pid == 0:
            ctypes.PyDLL(None).sleep(600)
        os.write(tell, str(pid).encode())

    become_subreaper()
    pid = fork(live, writer)
    grandchild = int(os.read(told, 20))
    os.close(told)
    os.close(tell)
    os.close(writer)
    assert status(pid) == -signal.SIGKILL
    assert state(grandchild) != "Z"
    os.kill(grandchild, signal.SIGTERM)
    assert status(grandchild) == -signal.SIGTERM


def void(_: object) -> None:
    """For a lambda that is called for its effect."""


# A whole daemon, whose master is a process of its own and dies.

MASTER = """
import json, os, sys
from small_master import SmallMaster
with SmallMaster() as master:
    mold = master.planned()
    do, options = json.loads(sys.argv[1])
    worker = master.worker(do, **options)
    spare = master.spare()
    port = master.listener.getsockname()[1]
    print(json.dumps({"mold": mold, "worker": worker, "spare": spare, "port": port}), flush=True)
    sys.stdin.readline()
    for descriptor in (master.writer, *(each.channel.fileno() for each in master.channels._peers.values())):
        os.set_inheritable(descriptor, True)
    code = "import sys; print('executed', flush=True); sys.stdin.readline()"
    os.execv(sys.executable, [sys.executable, "-c", code])
"""


@contextlib.contextmanager
def master(do: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """A master with a mold, a ready worker and a spare; on a line of input it executes another program."""
    become_subreaper()
    path = os.pathsep.join([SOURCE, str(Path(__file__).parent.parent)])
    with subprocess.Popen(
        [sys.executable, "-c", MASTER, json.dumps([do, options])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdout
        readable(process.stdout)
        pids = json.loads(process.stdout.readline())
        try:
            yield process, pids
        finally:
            process.kill()


def test_all_end_with_their_master() -> None:
    with master("ready_then_hang_in_c") as (process, pids):
        process.kill()
        assert status_of_orphan(pids["worker"]) == -signal.SIGKILL
        assert status_of_orphan(pids["spare"]) == 0
        assert status_of_orphan(pids["mold"]) == 0


def status_of_orphan(pid: int) -> int:
    until(lambda: pid in children(os.getpid(), ended=True), f"the adoption of {pid}")
    return status(pid)


def test_all_live_on_when_the_master_executes_another_program() -> None:
    with master("serve") as (process, pids):
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        readable(process.stdout)
        assert process.stdout.readline() == "executed\n"
        assert answer(pids["port"])["ppid"] == process.pid
        assert all(state(pids[each]) in "SR" for each in ("mold", "spare", "worker"))
        process.kill()
        assert status_of_orphan(pids["worker"]) == -signal.SIGKILL
        assert status_of_orphan(pids["spare"]) == 0
        assert status_of_orphan(pids["mold"]) == 0


@pytest.mark.parametrize("do", ["serve", "serve_async"])
def test_an_orphan_serves_for_its_grace_and_then_drains(do: str) -> None:
    with master(do, orphan_grace=0.5) as (process, pids):
        process.kill()
        process.wait()
        until(lambda: pids["worker"] in children(os.getpid(), ended=True), "the orphan")
        found = answer(pids["port"])
        assert (found["pid"], found["ppid"]) == (pids["worker"], os.getpid())
        assert status(pids["worker"]) == 0
        for each in ("mold", "spare"):
            assert status_of_orphan(pids[each]) == 0


def answer(port: int) -> dict[str, Any]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        data = b""
        while piece := connection.recv(65536):
            data += piece
    found = json.loads(data)
    assert isinstance(found, dict)
    return found
