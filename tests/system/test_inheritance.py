"""What a daemon's processes have from their master: their environment, and their open files, and nothing else of it."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from descriptors import Held, listeners
from notified import NotifySocket
from support import Start, until
from system.agents import Watched
from system.daemons import HEAD, RUN, Served, free_port, title
from system.runs import ASGI, WSGI, Run

PROGRAM = """
@dataclass(frozen=True)
class Loop(prefork.WorkerContext):
    id: int

@dataclass(frozen=True)
class Own(prefork.WorkerContext):
    id: int

@dataclass(frozen=True)
class Config:
    greeting: str = "hello"

NAMES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "PREFORK")

def tell(what):
    say("of", what, [name for name in NAMES if name in os.environ], os.environ.get("MINE"))

daemon = prefork.Daemon(
    "inherits",
    config=prefork.toml_file("config.toml", Config, watch=True),
    listeners={"http": "tcp://127.0.0.1:PORT", "own": prefork.Listener("tcp://127.0.0.1:OTHER", sharing="sharded")},
)

@daemon.plan
def plan(config):
    tell("mold")
    return [Web(0), Loop(0), Own(0)]

@daemon.worker(Web)
def web(worker):
    tell("web")
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        connection.close()

@daemon.worker(Loop)
async def loop(worker):
    tell("loop")
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    async for connection in worker.accept("http"):
        connection.close()

@daemon.worker(Own, spawn="exec")
def own(worker):
    tell("own")
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("own"):
        connection.close()
"""

STARTED = """
import os, sys
os.environ.update(WATCHDOG_PID=str(os.getpid()), LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "program.py"])
"""


def launch(start: Start, *command: str, **environment: str) -> tuple[Served, dict[str, int], int]:
    """Start the daemon; return it, its processes by their titles' first words, and its sharded port."""
    pytest.importorskip("watchfiles")
    other = free_port()
    (start.directory / "config.toml").write_text("")
    served = Served(start, "inherits", HEAD + PROGRAM.replace("OTHER", str(other)) + RUN)
    command = command or (sys.executable, "program.py")
    served.running = start.command(*command, env={**served.environment, **environment, "MINE": "kept"})
    found = served.ready("web/0", "loop/0", "own/0")

    def others() -> dict[str, int]:
        named = [(re.sub("^prefork: ", "", title(pid)).split(" ")[0], pid) for pid in served.running.children()]
        return {name: pid for name, pid in named if name in ("mold", "spare", "watcher")}

    until(lambda: len(others()) == 3, "mold, spare and watcher")
    return served, {**found, **others()}, other


def test_environment_holds_nothing_of_the_master(start: Start, tmp_path: Path) -> None:
    notified = NotifySocket(str(tmp_path / "notify"))
    environment = {"NOTIFY_SOCKET": notified.address, "WATCHDOG_USEC": "30000000"}
    environment |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}
    served, pids, _ = launch(start, sys.executable, "-c", STARTED, **environment)
    told = {line.split()[1]: line.split(" ", 2)[2] for line in served.running.out if line.startswith("of ")}
    assert told == dict.fromkeys(("mold", "web", "loop", "own"), "[] kept")
    for name, pid in {**pids, "master": served.running.pid}.items():
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        ours = [v for v in variables if v.startswith((b"NOTIFY_", b"WATCHDOG_", b"LISTEN_", b"PREFORK="))]
        assert ours == [], name
    notified.expect(READY="1")
    assert notified.senders == {served.running.pid}
    assert served.stop() == 0
    notified.close()


def test_every_process_holds_what_is_documented_and_nothing_else(start: Start) -> None:
    """docs/security.md has the list."""
    served, pids, other = launch(start)
    shared, own = f"listener:{served.port}", f"listener:{other}"
    master = Held(served.running.pid)
    held = {name: Held(pid) for name, pid in pids.items()}
    lifeline = next(link for link in held["mold"].links.values() if link.startswith("pipe:"))
    assert list(master.links.values()).count(lifeline) == 2
    known = {lifeline: "lifeline", **listeners(served.running.pid)}
    everybody = Counter(channel=1, scoreboard=1, stacks=1, metrics=1)
    waiting = everybody + Counter(eventfd=2, pipe=2)
    worker = waiting + Counter({"lifeline": 1, shared: 1, own: 1})
    documented = {
        "mold": everybody + Counter(lifeline=1),
        "spare": waiting,
        "web/0": worker + Counter(epoll=1),
        "loop/0": worker + Counter({"epoll": 1, "pair": 2, shared: 1}),
        "own/0": worker + Counter(epoll=1),
    }
    for name, expected in documented.items():  # They say that they are ready before they begin to wait.
        until(lambda name=name, wanted=expected: Held(pids[name]).kinds(known) == wanted, f"{name} has {expected}")  # type: ignore[misc]
    watcher = Held(pids["watcher"]).kinds(known)
    assert everybody + Counter(lifeline=1) <= watcher
    assert not [kind for kind in watcher if kind.startswith("listener")]
    held = {name: Held(pid) for name, pid in pids.items()}
    share_nothing(master, list(held.values()), {*known, *memory(master)})
    assert served.stop() == 0


@pytest.mark.parametrize("server", ["uvicorn", "granian", "hypercorn", "waitress"])
def test_workers_of_every_server_have_nothing_of_the_master_s(start: Start, server: str) -> None:
    (start.directory / "shop.py").write_text(WSGI if server == "waitress" else ASGI)
    run = Run(start, "shop:app", "-w", "2", "--server", server)
    run.ready()
    master = Held(run.running.pid)
    workers = [pid for pid in run.running.children() if title(pid).startswith("prefork: web/")]
    assert len(workers) == 2
    held = [Held(pid) for pid in workers]
    known = listeners(run.running.pid)
    assert len(known) == 1 or server == "granian"
    lifeline = [link for link in held[0].links.values() if link in master.links.values() and link.startswith("pipe:")]
    assert len(lifeline) == 1
    share_nothing(master, held, {*known, *lifeline, *memory(master)})
    files = [link for each in held for link in each.links.values() if link.startswith("/") and "memfd" not in link]
    assert set(files) <= {"/dev/null"}  # uvloop's own.
    assert run.running.stop() == 0


def test_agent_holds_what_is_documented_and_no_other_listener(start: Start) -> None:
    run = Watched(start)
    run.ready()
    master, agent = Held(run.running.pid), Held(run.agent())
    known = listeners(run.running.pid)
    kinds = agent.kinds(known)
    assert (kinds[f"listener:{run.port}"], kinds[f"listener:{run.agent_port}"]) == (0, 2), "one is its loop's copy"
    assert kinds[str(start.directory / "runtime")] == 1
    lifeline = [link for link in agent.links.values() if link in master.links.values() and link.startswith("pipe:")]
    share_nothing(master, [agent], {*known, *lifeline, *memory(master)})
    assert run.stop() == 0


def share_nothing(master: Held, others: Sequence[Held], but: set[str]) -> None:
    """No process has an open file of the master's, or of another one, but for these."""
    everyone = [master, *others]
    for one in others:
        for other in everyone:
            if one is not other:
                assert one.same_as(other) <= but, (title(one.pid), title(other.pid))


def memory(master: Held) -> list[str]:
    """What all processes of a daemon write to."""
    return [
        link
        for link in master.links.values()
        if link.startswith(("/memfd:prefork-scoreboard", "/memfd:prefork-stacks", "/memfd:prefork-metrics"))
    ]
