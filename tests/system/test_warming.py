"""Warming in the mold: what workers share by it, and that no warming, whatever it does, breaks a start or a reload."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator

import pytest

from support import PROOF, Start
from system.runs import Run, check, checked, write

ACTS = """
import os, signal, socket, random, threading, time
from concurrent.futures import ThreadPoolExecutor
CALLS = []
SAID = []
kept, dice, pool = None, None, ThreadPoolExecutor(1)

def hang_in_c():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(600)

def connect():
    global kept
    kept = socket.create_connection(("127.0.0.1", int(os.environ["PEER"])))

def throw():
    global dice
    dice = random.Random()

def act(path, marked):
    CALLS.append((path, marked, os.getpid()))
    if path == "/broken":
        raise ValueError("no such table")
    if path == "/end":
        raise SystemExit(3)
    if path == "/died":
        os._exit(7)
    if path == "/late":
        time.sleep(600)
    if path == "/stuck":
        hang_in_c()
    if path == "/connect":
        connect()
    if path == "/dice":
        throw()
    if path == "/pool":
        pool.submit(os.getpid).result()
    threads = [each.name for each in threading.enumerate() if "Pool" in each.name]
    status = 404 if path == "/missing" else 302 if path == "/login" else 200
    answered = {"pid": os.getpid(), "calls": CALLS, "threads": threads, "kept": kept is not None, "text": "TEXT"}
    return status, __import__("json").dumps(answered).encode()
"""

WSGI = (
    ACTS
    + """
def app(environ, start_response):
    status, body = act(environ["PATH_INFO"], environ.get("prefork.warming", False))
    start_response(f"{status} said", [("Location", "/enter")] if status == 302 else [])

    def pieces():
        yield body
        SAID.append(environ["PATH_INFO"])

    return pieces()
"""
)

ASGI = (
    ACTS
    + """
import asyncio

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await receive()
    asyncio.ensure_future(receive())  # Waits for the client to go away, as streaming responses do.
    await asyncio.to_thread(int)
    marked = "prefork.warming" in (scope.get("extensions") or {})
    status, body = act(scope["path"], marked)
    headers = [(b"location", b"/enter")] if status == 302 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
)

SERVERS = [("uvicorn", ASGI), ("waitress", WSGI)]
if PROOF:
    SERVERS += [("granian", ASGI), ("hypercorn", ASGI), ("granian", WSGI)]


def warmed(*paths: str) -> list[str]:
    return [word for path in paths for word in ("--warm", path)]


def warnings(run: Run) -> list[str]:
    return [line for line in run.running.err if "warming" in line]


@pytest.mark.parametrize(
    ("server", "source"), SERVERS, ids=[f"{name}-{'asgi' if source is ASGI else 'wsgi'}" for name, source in SERVERS]
)
def test_urls_are_requested_in_the_mold_and_failures_named(start: Start, server: str, source: str) -> None:
    write(start, "shop.py", source)
    paths = ["/?page=1", "http://shop.example/pool", "/broken", "/missing", "/login", "/end"]
    run = Run(start, "shop", "-w", "1", "--server", server, *warmed(*paths))
    run.ready()
    seen = json.loads(run.get())
    mold = seen["calls"][0][2]
    once = [["/broken", True, mold], ["/missing", True, mold], ["/login", True, mold], ["/end", True, mold]]
    served = [["/", True, mold], ["/pool", True, mold]]
    assert seen["calls"] == [*served, *once, *served, *served, ["/", False, seen["pid"]]]
    assert mold != seen["pid"]
    assert not [name for name in seen["threads"] if name.startswith("ThreadPool")]
    assert json.loads(run.get("/pool"))["pid"] == seen["pid"], "the executor starts a thread of the worker's"
    said = "\n".join(warnings(run))
    assert re.search(r"warming /broken: ValueError: no such table \(shop\.py:\d+\)", said)
    assert "warming /missing: answered 404" in said
    assert "warming /login: answered 302 (Location: /enter)" in said
    assert "warming /end: SystemExit: 3 (shop.py:" in said
    assert len(warnings(run)) == 4, said
    assert run.stop() == 0


@pytest.fixture
def peer() -> Iterator[int]:
    """The port of a server that a request connects to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_no_warming_breaks_a_reload(start: Start, peer: int) -> None:
    write(start, "shop.py", WSGI.replace("TEXT", "old"))
    (start.directory / "prefork.toml").write_text('warm = ["/"]\n')
    run = Run(start, "shop", "-w", "1", env={"PEER": str(peer)})
    run.ready()
    again = "starting it again without warming"
    for path, said in (
        ("/late", r"warming /late: not over when the 0.3 s of --warm-timeout were, and 1 more were left out"),
        ("/died", rf"exited 7 while it was warming; {again}"),
        ("/stuck", rf"warming did not end within 3.3 s; {again}"),
        ("/connect", rf"shop.kept \(socket.socket\), from \S+/shop.py:\d+, is open to 127.0.0.1:{peer} .*{again}"),
        ("/dice", r"made shop.dice \(random.Random\), from \S+/shop.py:\d+, which generates random numbers"),
    ):
        write(start, "shop.py", WSGI.replace("TEXT", f"new{path}"))
        timeout = 0.3 if path in ("/late", "/stuck") else 20
        (start.directory / "prefork.toml").write_text(f'warm = ["{path}", "/"]\nwarm_timeout = {timeout}\n')
        run.running.send(signal.SIGHUP)
        run.running.expect(said, "err")
        run.running.expect(r"reload: done", "err")
        seen = json.loads(run.get())
        assert seen["text"] == f"new{path}"
        assert not seen["kept"]
        assert any(marked for _, marked, _ in seen["calls"]) == (path in ("/late", "/dice"))
    assert not [line for line in run.running.err if "reload: failed" in line]
    assert run.stop() == 0


DJANGO = """
import os, random
from django.conf import settings
settings.configure(
    ALLOWED_HOSTS=["shop.example"], ROOT_URLCONF=__name__, SECRET_KEY="k",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db", "CONN_MAX_AGE": None}},
)
import django
django.setup()
from django.db import connection, connections
from django.http import HttpResponse
from django.urls import path
INHERITED = []

def page(request):
    INHERITED.append(connection.connection is not None)
    with connection.cursor() as cursor:
        cursor.execute("create table if not exists visits (pid)")
        cursor.execute("insert into visits values (%s)", [os.getpid()])
        cursor.execute("select count(*) from visits")
        return HttpResponse(f"{os.getpid()} {INHERITED} {cursor.fetchone()[0]}")

urlpatterns = [path("", page)]
"""


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_database_connection_of_django_is_closed(start: Start, interface: str) -> None:
    source = f"\nfrom django.core.{interface} import get_{interface}_application as get\napplication = get()\n"
    write(start, "shop.py", DJANGO + source)
    found = checked(start, "shop:application", "--with-warming", *warmed("http://shop.example/"))
    assert found["warnings"] == []
    assert found["lost"] == []


DAEMON = """
import prefork
from dataclasses import dataclass
daemon = prefork.Daemon("shop", listeners={"http": "tcp://127.0.0.1:0"}, warm_timeout=5)
STEPS = []

@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    pass

@daemon.warm
def log_in():
    STEPS.append("log in")

@daemon.warm
async def post():
    STEPS.append("post")
    raise ValueError("refused")

@daemon.before_fork
def close():
    print(STEPS + ["close"], flush=True)

@daemon.plan
def plan():
    return [Web()]

@daemon.worker(Web)
def web(worker):
    worker.wait()

if __name__ == "__main__":
    daemon.run()
"""


def test_functions_warm_once_before_before_fork(start: Start) -> None:
    write(start, "shop.py", DAEMON)
    status, out, err = check(start, "shop:daemon")
    assert (status, "['close']" in err, "warning" in out) == (0, True, False), out + err
    status, out, err = check(start, "shop:daemon", "--with-warming")
    assert status == 0, err
    assert "['log in', 'post', 'close']" in err
    assert re.search(r"warning +warming shop.post: ValueError: refused \(shop.py:\d+\)", out)


def test_warm_is_refused_where_there_are_no_urls(start: Start) -> None:
    write(start, "shop.py", "def work(worker):\n    worker.wait()\n")
    status, _, err = check(start, "shop:work", "--warm", "/")
    assert status == 1
    assert "--warm: shop:work is a worker's function, which has no URLs" in err
