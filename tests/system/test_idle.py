"""Idle costs nothing: no process of a daemon wakes up, whatever it runs and whatever watches it.

All subjects are started first, and measured in one window of ten seconds. Other load of the machine does not matter: a
thread that sleeps is neither woken nor preempted by it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pty
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.served import SERVERS, STREAMS, Adapted
from support import Running, Start, children, switches, until
from system.agents import Watched
from system.daemons import HEAD, HOOKS, RUN, Served, title
from system.runs import ASGI, PREFORK, Run, write

pytestmark = pytest.mark.timeout(300)

WINDOW = 10.0
REST = 8.0
"""Seconds without a wake-up before the window: a server's last beat comes a sixth of `hang_timeout` after a request."""

DAEMON = (
    HEAD
    + """
@dataclass(frozen=True)
class Loop(prefork.WorkerContext):
    id: int

daemon = prefork.Daemon("idle", listeners={"http": "tcp://127.0.0.1:PORT"})
daemon.listeners["shards"] = prefork.Listener("tcp://127.0.0.1:0", sharing="sharded")

@daemon.plan
def plan():
    return [*(Web(i) for i in range(8)), Loop(0)]

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


def hooks(start: Start, workers: int) -> Running:
    program = start.program(HOOKS, str(workers))
    for _ in range(workers):
        program.expect("^ready$")
    return program


def daemon(start: Start) -> Running:
    """A mold, a spare, plain and asynchronous workers, shards, and one request."""
    served = Served(start, "idle", DAEMON).launch()
    served.ready(*(f"web/{number}" for number in range(8)), "loop/0")
    served.ask()
    until(lambda: any("spare" in title(pid) for pid in served.running.children()), "the spare is bred last")
    return served.running


def command(start: Start) -> Running:
    write(start, "app.py", ASGI)
    run = Run(start, "app:app", "-w", "1")
    run.ready()
    run.who()
    return run.running


def watched_by_agent(start: Start) -> Running:
    """An agent that has been asked for all that it has."""
    run = Watched(start, "app:app", "-w", "1")
    run.ready()
    for path in "/healthz", "/readyz", "/status.json", "/metrics":
        assert run.ask(path)[0] == 200
    return run.running


def server(start: Start, which: tuple[str, str]) -> Running:
    # The last beat of a loop without a selector of ours comes a sixth of this after the last request.
    log: dict[str, Any] = {} if which in STREAMS else {"access_log": "access.log"}
    adapted = Adapted(start, which, kind={"hang_timeout": 1.8}, **log)
    adapted.ready()
    assert adapted.get("/same")[0] == 200
    return adapted.running


def watched(start: Start) -> Running:
    """One client follows events, one has sent half of a request."""
    served = Served(start, "watched").launch()
    served.ready("web/0", "web/1")
    for request in b'{"protocol": 1, "request": "events", "follow": true}\n', b'{"protocol"':
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{served.environment['RUNTIME_DIRECTORY']}/control.sock")
        client.sendall(request)
        start.keep.callback(client.close)
    return served.running


def on_top(start: Start) -> Running:
    """`prefork top` draws its page all the time, from the scoreboard."""
    served = Served(start, "drawn").launch()
    served.ready("web/0", "web/1")
    ours, theirs = pty.openpty()
    environment = {**served.environment, "TERM": "xterm-256color"}
    top = start.command(PREFORK, "top", stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    top.listen("out", ours)
    top.expect("drawn")
    return served.running


SUBJECTS: dict[str, Callable[[Start], Running]] = {
    "hooks, 4 workers": partial(hooks, workers=4),
    "hooks, 50 workers": partial(hooks, workers=50),
    "daemon": daemon,
    "prefork run": command,
    "agent": watched_by_agent,
    "control clients": watched,
    **{"-".join(each): partial(server, which=each) for each in [*SERVERS, *STREAMS]},
}
if importlib.util.find_spec("textual") is not None:
    SUBJECTS["prefork top"] = on_top


def wake_ups(master: int) -> dict[str, int]:
    """Return how often each thread of a daemon has slept and been preempted."""
    found = {}
    for pid in (master, *children(master)):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found[f"{title(pid)} {pid}/{task.name}"] = switches(int(task.name))
    return found


@pytest.fixture(scope="module")
def woken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, tuple[int, int]]]]:
    """Return, for each subject, the threads that woke up in the window, and their counts before and after it."""
    with contextlib.ExitStack() as stack:
        starts = [Start(tmp_path_factory.mktemp("idle")) for _ in SUBJECTS]
        for start in starts:
            stack.callback(start.close)
        with ThreadPoolExecutor(4) as together:
            begun = together.map(lambda begin, start: begin(start), SUBJECTS.values(), starts)
        masters = dict(zip(SUBJECTS, begun, strict=True))
        found = woken_in_a_window(masters)
        if any(is_of_masters(threads) for threads in found.values()):
            # Commands of other tests look for running daemons and connect to their masters: what these do by
            # themselves they do again.
            again = woken_in_a_window(masters)
            found = {name: again[name] if is_of_masters(threads) else threads for name, threads in found.items()}
        yield found
        for name, master in masters.items():
            assert master.stop() == 0, name


def woken_in_a_window(masters: dict[str, Running]) -> dict[str, dict[str, tuple[int, int]]]:
    """Wait until nothing happens; return the threads that wake up in the window after that."""
    before = at_rest(masters)
    time.sleep(WINDOW)  # Not a wait for anything: what is measured is that nothing happens.
    after = {name: wake_ups(master.pid) for name, master in masters.items()}
    return {name: changes(before[name], after[name]) for name in masters}


def is_of_masters(threads: dict[str, tuple[int, int]]) -> bool:
    """Whether some threads have woken up, all of them masters."""
    return bool(threads) and all(thread.startswith("prefork: master") for thread in threads)


def at_rest(masters: dict[str, Running]) -> dict[str, dict[str, int]]:
    """Wait until nothing has happened for a while; what never rests is seen in the window."""
    counts: dict[str, dict[str, int]] = {}
    since = deadline = time.monotonic()
    while time.monotonic() < since + REST and time.monotonic() < deadline + 60:
        now = {name: wake_ups(master.pid) for name, master in masters.items()}
        if now != counts:
            since, counts = time.monotonic(), now
        time.sleep(0.5)
    return counts


def changes(before: dict[str, int], after: dict[str, int]) -> dict[str, tuple[int, int]]:
    return {
        each: (before.get(each, -1), after[each])
        for each in after  # A thread that has ended, as granian's do when they have had no work, costs nothing more.
        if before.get(each) != after[each]
    }


@pytest.mark.parametrize("subject", SUBJECTS)
def test_idle_process_never_wakes_up(woken: dict[str, dict[str, tuple[int, int]]], subject: str) -> None:
    assert woken[subject] == {}
