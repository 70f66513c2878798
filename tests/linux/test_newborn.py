"""From the order to the exit: what a worker is, says, and leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork._core.events import WorkerDrained, WorkerFailed, WorkerReady
from small_master import PATIENCE, SmallMaster, standard_error_to
from support import state, switches, until, until_still


@pytest.fixture
def master() -> Iterator[SmallMaster]:
    with SmallMaster() as master:
        master.planned()
        yield master


def test_is_what_its_order_says(master: SmallMaster) -> None:
    pid = master.worker("serve", key="web/7", generation=3, title="prefork: web/7 g3 test")
    found = master.ask()
    descriptors = found.pop("descriptors")
    assert found == {
        "pid": pid,
        "ppid": os.getpid(),
        "sid": pid,
        "title": "prefork: web/7 g3 test",
        "key": "web/7",
        "generation": 3,
        "extra": "extra",
        "context": {"do": "serve"},
    }
    # Standard streams apart: its channel, the listener, the connection; the armed lifeline; what it waits with, both
    # ends of a pipe among it; the memory of metrics, what the mapping of the scoreboard keeps open, and where stacks
    # are written.
    own = [each for each in descriptors if "prefork" in each or not each.startswith(("/", "socket", "pipe"))]
    memories = [f"/memfd:prefork-{each} (deleted)" for each in ("metrics", "scoreboard", "stacks")]
    assert sorted(own) == [*memories, "anon_inode:[eventfd]", "anon_inode:[eventfd]", "anon_inode:[eventpoll]"]
    streams = {os.readlink(f"/proc/self/fd/{each}") for each in range(3)}
    assert len([each for each in descriptors if each.startswith("socket") and each not in streams]) == 3
    pipes = [each for each in descriptors if each.startswith("pipe") and each not in streams]
    pipes.remove(os.readlink(f"/proc/self/fd/{master.reader}"))
    assert len(pipes) == 2
    assert len(set(pipes)) == 1


def test_a_large_context_arrives(master: SmallMaster) -> None:
    master.worker("serve", context={"large": "x" * 1_000_000})
    assert master.ask()["context"]["large"] == "x" * 1_000_000


@pytest.mark.parametrize("do", ["serve", "serve_async", "wait"])
def test_term_drains(master: SmallMaster, do: str) -> None:
    pid = master.worker(do)
    os.kill(pid, signal.SIGTERM)
    assert master.status(pid) == 0
    assert master.channels.finish(pid) == [WorkerDrained(pid)]


def test_int_is_passed_over(master: SmallMaster) -> None:
    pid = master.worker("serve")
    os.kill(pid, signal.SIGINT)
    assert master.ask()["pid"] == pid


def test_an_idle_worker_does_not_wake_up(master: SmallMaster, tmp_path: Path) -> None:
    rehearsals = tmp_path / "rehearsals"
    master.planned({"rehearsals": str(rehearsals)}, generation=2)
    spare = master.spare(generation=2)
    until(lambda: str(spare) in rehearsals.read_text().split(), "the rehearsal of the spare")
    pids = [master.worker("serve"), master.worker("serve_async"), master.worker("wait"), spare]
    until(lambda: all(state(pid) == "S" for pid in pids), "sleep")
    until_still(lambda: [switches(pid) for pid in pids], 1)


def test_a_function_that_raises_is_told_in_its_own_words(master: SmallMaster) -> None:
    pid = master.spare()
    master.order(pid, "fail", context={"text": "no such queue"})
    failed = master.expect(WorkerFailed)
    assert failed.pid == pid
    lines = failed.report.splitlines()
    assert lines[-1] == "ValueError: no such queue"
    assert "mold_application.py" in lines[1]
    assert master.status(pid) == 1


def test_what_was_said_before_the_end_is_heard_after_it(master: SmallMaster) -> None:
    pid = master.spare()
    master.order(pid, "fail", context={"text": "no such queue"})
    assert master.status(pid) == 1
    [failed] = master.channels.finish(pid)
    assert isinstance(failed, WorkerFailed)
    assert master.channels.finish(pid) == []


def test_an_exit_status_of_its_own_is_kept_and_is_no_failure(master: SmallMaster) -> None:
    pid = master.spare()
    master.order(pid, "leave", context={"status": 3})
    assert master.status(pid) == 3
    assert not master.channels.finish(pid)


def test_explicit_readiness_is_left_to_the_function(master: SmallMaster) -> None:
    pid = master.spare()
    master.order(pid, "serve", explicit_ready=True)
    assert master.ask()["pid"] == pid
    os.kill(pid, signal.SIGTERM)
    master.status(pid)
    assert not any(isinstance(each, WorkerReady) for each in master.channels.finish(pid))


@pytest.mark.processes
def test_an_exit_that_is_held_up_is_ended_and_explained(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with SmallMaster() as master:
        with standard_error_to(output):
            master.planned()
        pid = master.spare()
        master.order(pid, "linger", exit_timeout=60.0, finish_timeout=0.2)
        assert master.status(pid) == 1
    assert "_shutdown" in output.read_text()


def test_failed_newborn_is_not_awaited_as_a_finished_one(master: SmallMaster) -> None:
    pid = master.spare()
    master.order(pid, "linger_and_fail", exit_timeout=0.2, finish_timeout=60.0)
    assert master.status(pid) == 1


def test_files_of_the_mold_are_complete_and_its_directories_stay(tmp_path: Path) -> None:
    file, answer = tmp_path / "file", tmp_path / "answer"
    with SmallMaster() as master:
        mold = master.planned({"files": str(file)})
        for key in ("a/0", "b/0"):
            pid = master.spare()
            master.order(pid, "use_files", key=key, context={"answer": str(answer)})
            assert master.status(pid) == 0
        assert sorted(file.read_text().split()) == ["a/0", "b/0"]
        directory = Path(answer.read_text())
        assert directory.is_dir()
        master.channels.end_mold(1)
        assert master.status(mold) == 0
        assert not directory.exists()


def test_term_for_a_forked_child_is_not_its_parents(master: SmallMaster, tmp_path: Path) -> None:
    path = str(tmp_path / "answer")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(PATIENCE)
        master.order(master.spare(), "fork_a_child", context={"answer": path})
        connection, _ = listener.accept()
        with connection:
            assert json.loads(connection.recv(100)) == [-signal.SIGTERM, False]


def test_workers_share_a_listener(master: SmallMaster) -> None:
    pids = {master.worker("serve"), master.worker("serve_async"), master.worker("serve")}
    answering = {master.ask()["pid"] for _ in range(100)}
    assert answering <= pids
    # A worker that is asked to drain leaves the rest of the queue to the others.
    survivor = pids.pop()
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
        assert master.status(pid) == 0
    assert {master.ask()["pid"] for _ in range(20)} == {survivor}
