"""Signals in workers: an application that changes SIGTERM drains all the same, and its children have defaults."""

from __future__ import annotations

import os
import signal

import pytest

from support import PROOF, Start, gone
from system.daemons import HEAD, RUN, SERVE, Served
from system.runs import Run, write

LIFESPAN = """
import asyncio, os, signal

def change():
    {change}

def note(*_):
    os.write(1, b"handled\\n")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        change()
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        os.write(1, b"ended\\n")
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    if scope["path"] == "/slow":
        os.write(1, b"begun\\n")
        await asyncio.sleep(0.5)
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}})
    await send({{"type": "http.response.body", "body": b"fine"}})
"""

CHANGES = {
    "loop": "asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, note)",
    "handler": "signal.signal(signal.SIGTERM, note)",
    "ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "default": "signal.signal(signal.SIGTERM, signal.SIG_DFL)",
    "blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
    "removed": "loop = asyncio.get_running_loop(); loop.add_signal_handler(signal.SIGTERM, note); "
    "loop.remove_signal_handler(signal.SIGTERM)",
}


SERVED = [
    (server, change)
    for server in ("uvicorn", "granian", "hypercorn")
    for change in (CHANGES if PROOF else ("loop", "ignored", "blocked") if server == "uvicorn" else ("loop",))
]
"""What is changed concerns the worker's loop, not its server: the proof tries every pair."""


@pytest.mark.parametrize(("server", "change"), SERVED if PROOF else SERVED[:2])
def test_worker_drains_whatever_the_lifespan_does_with_sigterm(start: Start, server: str, change: str) -> None:
    write(start, "shop.py", LIFESPAN.format(change=CHANGES[change]))
    run = Run(start, "shop:app", "-w", "1", "--server", server, "--drain-timeout", "20")
    run.ready()
    assert run.get() == b"fine"
    run.running.send(signal.SIGHUP)
    run.running.expect("ended")
    run.running.expect(r"reload: done", "err")
    assert run.stop() == 0
    assert ("handled" in run.running.out) == (change in ("loop", "handler"))
    assert not [line for line in run.running.err if "killed" in line]


PLAIN = (
    HEAD
    + """
daemon = prefork.Daemon("plain")

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web, drain_timeout=20)
def web(worker):
    CHANGE
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    WAIT
    say("ended")
"""
    + RUN
)
WAYS = {
    "ignored": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "worker.wait_draining()"),
    "default": ("signal.signal(signal.SIGTERM, signal.SIG_DFL)", "worker.wait_draining()"),
    "waited for": ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])", "signal.sigwait([signal.SIGTERM])"),
    "exec": (
        "",
        "os.execlp('sh', 'sh', '-c', 'trap \"echo ended; exit 0\" TERM; echo waits; while :; do sleep 0.1; done')",
    ),
}


@pytest.mark.parametrize("way", list(WAYS) if PROOF else list(WAYS)[:2])
def test_plain_worker_ends_by_its_own_way_of_waiting(start: Start, way: str) -> None:
    change, wait = WAYS[way]
    served = Served(start, "plain", PLAIN.replace("CHANGE", change or "pass").replace("WAIT", wait)).launch()
    served.ready("web/0")
    if way == "exec":
        served.running.expect("waits")  # A request that comes before the exec is lost with the handler.
    assert served.stop() == 0
    served.running.expect("ended")
    assert not [line for line in served.running.err if "killed" in line]


CHILDREN = (
    HEAD
    + """
import multiprocessing, pathlib, subprocess, threading

def masks():
    fields = [line.split() for line in pathlib.Path("/proc/self/status").read_text().splitlines()]
    return {name[:-1]: int(rest[0], 16) for name, *rest in fields if name[:3] == "Sig" and name != "SigQ:"}

def report(how):
    numbers = [n for n in signal.valid_signals() if "prefork" in str(getattr(signal.getsignal(n), "__module__", ""))]
    caught = [n for n in range(34, 65) if masks()["SigCgt"] >> n - 1 & 1]
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    terminates = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    say("child", how, numbers, caught, default, terminates, masks()["SigBlk"], masks()["SigIgn"] >> 1 & 1)

def fork(how):
    if (pid := os.fork()) == 0:
        report(how)
        os._exit(0)
    os.waitpid(pid, 0)

daemon = prefork.Daemon("children")

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web)
def web(worker):
    worker.ready()
    fork("forked")
    thread = threading.Thread(target=fork, args=["forked-by-a-thread"])
    thread.start()
    thread.join()
    child = multiprocessing.get_context("fork").Process(target=report, args=["multiprocessing"])
    child.start()
    child.join()
    subprocess.run([sys.executable, "-c", "import program; program.report('spawned')"], check=True)
    if (pid := os.fork()) == 0:
        try:
            say("sleeps", os.getpid())
            time.sleep(60)
        finally:
            say("interrupted")
            os._exit(0)
    worker.wait_draining()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""
    + RUN
)


def test_children_of_a_worker_have_default_signals(start: Start) -> None:
    served = Served(start, "children", CHILDREN).launch()
    for how in "forked", "forked-by-a-thread", "multiprocessing", "spawned":
        assert served.running.expect(rf"^child {how} (.*)$")[1] == "[] [] True True 0 0"
    pid = int(served.running.expect(r"^sleeps (\d+)$")[1])
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGINT)
    served.running.expect("interrupted")
    assert gone(pid)
    assert served.stop() == 0


OWN = (
    HEAD
    + """
daemon = prefork.Daemon("own", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0)]
"""
    + SERVE.replace(
        "    worker.ready()\n",
        '    signal.signal(signal.SIGINT, lambda *_: say("mine"))\n'
        "    if os.fork() == 0:\n        os.kill(os.getpid(), signal.SIGINT)\n        os._exit(0)\n"
        "    worker.ready()\n",
    )
    + RUN
)


def test_handler_of_the_application_is_inherited_by_its_children(start: Start) -> None:
    served = Served(start, "own", OWN).launch()
    served.running.expect_each(["mine", "ready web/0"])
    assert served.stop() == 0


LATE = (
    HEAD
    + """
from prefork._linux.drain_request import DRAIN

class Late:
    def __del__(self, kill=os.kill, pid=os.getpid, numbers=(DRAIN, signal.SIGTERM), write=os.write):
        for number in numbers:
            kill(pid(), number)
        write(1, b"torn down\\n")

daemon = prefork.Daemon("late")

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web, KIND)
def web(worker):
    global late
    late = Late()
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    worker.wait_draining()
"""
    + RUN
)


@pytest.mark.parametrize("kind", ["", 'spawn="exec"'])
def test_second_signal_during_the_teardown_kills_no_worker(start: Start, kind: str) -> None:
    """The master sends two, and the interpreter's end restores the default handlers in between."""
    served = Served(start, "late", LATE.replace("KIND", kind)).launch()
    served.ready("web/0")
    assert served.stop() == 0
    served.running.expect("torn down")
    assert not [line for line in served.running.err if "killed" in line]
