"""What a master costs: nothing while it is idle, and little memory."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from prefork._wire.scoreboard import WATCHING
from scoreboards import attach
from support import Running, Start, children, state, until
from system.daemons import HEAD, RUN, Served
from system.runs import ASGI, Run, write

PROGRAM = """
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
    count = int(sys.argv[1])
    return [prefork.fork_worker_process(Waiting(i), sys.argv[1:]) for i in range(count)]

prefork.default_main(prefork.PreforkSettings(
    update_config=lambda: 1,
    update_server=start,
    on_quit=lambda _config: print(*sorted(sys.modules), flush=True),
), work)
"""

HEAVY = {"logging", "argparse", "subprocess", "tomllib", "asyncio", "multiprocessing", "threading", "socket"}


DAEMON = (
    HEAD
    + """
@dataclass(frozen=True)
class Loop(prefork.WorkerContext):
    id: int

daemon = prefork.Daemon("quiet", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0), Loop(0)]

@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        with connection, worker.request("one"):
            connection.sendall(f"{worker.key} g1 {os.getpid()} ".encode())

@daemon.worker(Loop)
async def loop(worker):
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    await worker.wait_draining()
"""
    + RUN
)


def status(pid: int, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1])


def switches(pid: int) -> tuple[int, int]:
    return status(pid, "voluntary_ctxt_switches"), status(pid, "nonvoluntary_ctxt_switches")


def with_workers(start: Start, count: int) -> Running:
    program = start.program(PROGRAM, str(count))
    for _ in range(count):
        program.expect("^ready$")
    return program


def test_an_idle_master_never_wakes_up(start: Start) -> None:
    programs = [with_workers(start, 4), with_workers(start, 50)]
    for program in programs:
        until(lambda pid=program.pid: state(pid) == "S", "it waits")  # type: ignore[misc]
    before = [switches(program.pid) for program in programs]
    time.sleep(10)  # Not a wait for anything: what is measured is that nothing happens.
    assert [switches(program.pid) for program in programs] == before
    for program in programs:
        assert program.stop() == 0


def test_a_master_imports_little_and_stays_small(start: Start) -> None:
    bare = start.command(sys.executable, "-c", "import sys; print(*sorted(sys.modules))")
    bare.wait()
    program = with_workers(start, 4)
    resident = status(program.pid, "VmRSS") / 1024
    print(f"resident memory of a master with 4 workers: {resident:.1f} MB on {sys.version.split()[0]}")
    program.send(3)
    modules = set(program.expect("prefork").string.split()) - set(bare.out[0].split())
    names = {module.partition(".")[0] for module in modules}
    # msgspec takes typing_extensions where it is installed.
    assert names - sys.stdlib_module_names - {"typing_extensions"} == {"prefork", "msgspec"}
    assert not names & HEAVY
    assert program.stop() == 0
    if sys.version_info[:2] == (3, 11):
        assert resident <= 18


def all_switches(masters: list[int]) -> dict[str, tuple[int, int]]:
    """Return how often each thread of a daemon has slept and been preempted."""
    pids = [pid for master in masters for pid in (master, *children(master))]
    return {task.name: switches(int(task.name)) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()}


def watched(master: int) -> bool:
    """Whether a master looks for hangs."""
    board = attach(master)
    try:
        return bool(board.words[WATCHING])
    finally:
        board.close()


def test_idle_daemon_with_hang_detection_never_wakes_up(start: Start) -> None:
    """Its last look comes an eighth of `hang_timeout` after it has seen that all are idle."""
    daemon = Served(start, "quiet", DAEMON).launch()
    daemon.ready("web/0", "loop/0")
    daemon.ask()
    write(start, "app.py", ASGI)
    run = Run(start, "app:app", "-w", "1", env={"RUNTIME_DIRECTORY": str(start.directory / "another")})
    run.ready()
    run.who()
    masters = [daemon.running.pid, run.running.pid]
    until(lambda: not any(map(watched, masters)), "nobody is busy any more")
    before: dict[str, tuple[int, int]] = {}

    def settled() -> bool:
        now = all_switches(masters)
        same = now == before
        before.clear()
        before.update(now)
        time.sleep(0 if same else 30 / 8 + 1)
        return same

    until(settled, "it has come to rest")
    time.sleep(10)  # Not a wait for anything: what is measured is that nothing happens.
    assert all_switches(masters) == before
    assert daemon.stop() == 0
    assert run.stop() == 0
