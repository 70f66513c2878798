"""Functions that an application registers for its workers' start and end, and for a reload: on every server."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from adapters.served import SERVERS
from support import Start
from system import runs
from system.daemons import HEAD, RUN, Served
from system.runs import Run, check, write

HOOKS = """
import atexit, os, threading
import prefork

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

@prefork.on_worker_start
def first(worker):
    main = threading.current_thread() is threading.main_thread()
    say("first", worker.key, f"g{worker.generation}", "pid", os.getpid(), "main" if main else "thread")
    atexit.register(say, "exiting", worker.key)

def second():
    say("second", os.getpid())

assert prefork.on_worker_start(second) is second
prefork.on_worker_stop(lambda worker: say("last", worker.key))

@prefork.on_worker_stop
def failing(worker):
    say("failing", worker.key)
    raise SystemExit("no reason to stay")

prefork.on_reload(lambda: say("reloaded in", os.getpid()))
"""
COROUTINES = """
import asyncio

@prefork.on_worker_start
async def connect(worker):
    asyncio.get_running_loop()
    say("connected", worker.key)

@prefork.on_worker_stop
async def close():
    say("closed")
    raise ValueError("closed badly")
"""
LIFESPAN = """
inner = app

async def app(scope, receive, send):
    if scope["type"] != "lifespan":
        return await inner(scope, receive, send)
    async def telling(message):
        say(message["type"])
        await send(message)
    await inner(scope, receive, telling)
"""
PLAIN = ["first web/0", "second", "failing web/0", "last web/0", "exiting web/0"]
AROUND_A_LOOP = [
    *("first web/0", "second", "connected web/0", "lifespan.startup.complete"),
    *("lifespan.shutdown.complete", "closed", "failing web/0", "last web/0", "exiting web/0"),
]


def told(run: Run) -> list[str]:
    """Return what the functions of workers have told, without generations and pids."""
    lines = [re.sub(r" (g\d+ )?(pid )?\d+( main)?$", "", line) for line in run.running.out]
    return [line for line in lines if not line.startswith("reloaded")]


@pytest.mark.parametrize(("server", "protocol"), SERVERS)
def test_functions_run_around_the_work_in_order(start: Start, server: str, protocol: str) -> None:
    source = runs.ASGI + HOOKS + COROUTINES + LIFESPAN if protocol == "asgi" else runs.WSGI + HOOKS
    write(start, "shop.py", source)
    run = Run(start, "shop:app", "-w", "1", "--server", server)
    run.ready()
    pid = int(run.running.expect(r"^first web/0 g1 pid (\d+) main$")[1])
    assert run.who()[0] == pid
    assert run.stop() == 0
    assert told(run) == (AROUND_A_LOOP if protocol == "asgi" else PLAIN)
    run.running.expect(r"^web/0: on_worker_stop\(shop\.failing\) failed; the worker ends all the same$", "err")
    run.running.expect(r"^SystemExit: no reason to stay$", "err")
    errors = "\n".join(run.running.err)
    assert ("ValueError: closed badly" in errors) is (protocol == "asgi")
    assert "never awaited" not in errors
    assert "/prefork/" not in errors


def test_failed_start_fails_the_reload(start: Start) -> None:
    """Of a plain and of a coroutine function: the old code serves on."""
    write(start, "shop.py", runs.ASGI + HOOKS)
    run = Run(start, "shop:app", "-w", "1")
    run.ready()
    old = run.who()[0]
    for failing in "def", "async def":
        bad = f"\n@prefork.on_worker_start\n{failing} refuse():\n    raise LookupError('no collector')\n"
        write(start, "shop.py", runs.ASGI + HOOKS + bad)
        run.running.send(signal.SIGHUP)
        run.running.expect(r"^reload: failed: web/0: exited 1 .*; the old code goes on serving", "err")
        lines = [run.running.expect(pattern, "err")[0] for pattern in ("File .*in refuse$", "LookupError: .*")]
        assert lines[1] == "LookupError: no collector"
        assert run.who()[0] == old
    assert run.stop() == 0
    ended = [line for line in run.running.out if line.startswith("last ")]
    assert ended == ["last web/0"] * 2  # The old worker, and the one whose plain functions had returned.


def test_on_reload_is_called_once_in_the_new_mold(start: Start) -> None:
    write(start, "shop.py", runs.WSGI + HOOKS)
    run = Run(start, "shop:app", "-w", "2")
    run.ready()
    for generation in 2, 3:
        run.running.send(signal.SIGHUP)
        mold = int(run.running.expect(r"^reloaded in (\d+)$")[1])
        keys = {f"first {key} g{generation} pid" for key in ("web/0", "web/1")}
        run.running.expect_each(keys)
        assert mold not in run.pids(2)
        run.running.expect(rf"^reload: done \(generation {generation}\)", "err")
    write(
        start, "shop.py", runs.WSGI + HOOKS + "\n@prefork.on_reload\ndef refuse():\n    raise OSError('cache gone')\n"
    )
    run.running.send(signal.SIGHUP)
    run.running.expect(r"^reload: failed: .*a function of on_reload failed: OSError: cache gone", "err")
    assert len(run.pids(2)) == 2
    assert run.stop() == 0
    assert sum(line.startswith("reloaded") for line in run.running.out) == 3


PLAIN_KIND = """
daemon = prefork.Daemon("kinds", spares=0)

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("working")
    worker.wait_draining()
"""
LOOPING_KIND = """
daemon = prefork.Daemon("kinds", spares=0)

@daemon.plan
def plan():
    return [Web(0)]

@daemon.lifespan(Web)
async def lifespan(worker):
    say("lifespan begins")
    yield
    say("lifespan ends")

@daemon.worker(Web)
async def web(worker):
    worker.ready()
    prefork.on_worker_stop(late)
    for register in prefork.on_worker_start, prefork.on_reload:
        try:
            register(late_and_plain)
        except prefork.UsageError as error:
            say("refused:", error)
    say("working")
    await worker.wait_draining()

async def late():
    say("late", asyncio.get_running_loop().is_running())

def late_and_plain():
    pass
"""
AT_IMPORT = "call it when the application is imported"


def lines_of(start: Start, source: str) -> list[str]:
    """Return what a daemon with one worker tells from its start to its stop."""
    served = Served(start, "kinds", HEAD + source + RUN).launch()
    served.running.expect("^working$")
    assert served.stop() == 0
    return [re.sub(r"( g1 pid)? \d+( main)?$", "", line) for line in served.running.out]


def test_daemons_plain_kind_has_them(start: Start) -> None:
    begun, ended = PLAIN[:2], PLAIN[2:]
    assert lines_of(start, HOOKS + PLAIN_KIND) == [*begun, "working", *ended]


def test_daemons_coroutine_kind_has_them(start: Start) -> None:
    """A running worker may add what is to end with it, and nothing else."""
    assert lines_of(start, HOOKS + COROUTINES + LOOPING_KIND) == [
        *("first web/0", "second", "connected web/0", "lifespan begins"),
        f"refused: on_worker_start(__main__.late_and_plain): this worker has started already: {AT_IMPORT}",
        f"refused: on_reload(__main__.late_and_plain): this process is a worker, which does not reload: {AT_IMPORT}",
        *("working", "lifespan ends", "late True", "closed", "failing web/0", "last web/0", "exiting web/0"),
    ]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            "import asyncio\n@prefork.on_worker_stop\nasync def close(): pass\n",
            "on_worker_stop(shop.close): it is a coroutine function, and workers of kind 'web' have no event loop",
        ),
        ("prefork.on_worker_start(1)", "on_worker_start(1): it cannot be called: give a function"),
        (
            "prefork.on_worker_start(lambda one, two: 0)",
            "on_worker_start(shop.<lambda>): it takes 2 arguments: a function takes none, or the worker's handle",
        ),
        (
            "prefork.on_reload(first)",
            "on_reload(shop.first): it takes an argument: give a plain function without arguments",
        ),
    ],
)
def test_unsuitable_functions_are_refused_at_import(start: Start, source: str, why: str) -> None:
    write(start, "shop.py", runs.WSGI + HOOKS + source)
    status, _, err = check(start, "shop:app")
    assert status == 1
    assert why in err


def test_coroutine_of_a_plain_function_is_refused(start: Start) -> None:
    write(start, "shop.py", runs.WSGI + "import prefork\nasync def f(): pass\nprefork.on_worker_start(lambda: f())\n")
    run = Run(start, "shop:app", "-w", "1")
    why = (
        r"on_worker_start\(shop\.<lambda>\): it returned a coroutine, which is not awaited: declare it with `async def`"
    )
    run.running.expect(why, "err")
    assert run.running.wait() == 1


def test_own_interpreters_of_workers_call_them(start: Start) -> None:
    write(start, "shop.py", runs.WSGI + HOOKS)
    run = Run(start, "shop:app", "-w", "1", "--no-preload")
    run.ready()
    assert run.stop() == 0
    assert told(run) == PLAIN


def test_without_prefork_functions_are_only_registered(start: Start) -> None:
    write(start, "shop.py", runs.WSGI + HOOKS + "\nsay('imported')\n")
    running = start.command(sys.executable, "-c", "import shop")
    assert running.wait() == 0
    assert (running.out, running.err) == (["imported"], [])
