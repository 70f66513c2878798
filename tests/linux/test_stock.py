"""What an import leaves behind: which connections a fork would share, and how they are named."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from small_mold import run

pytestmark = pytest.mark.processes

BEFORE = """
import socket, threading
from prefork._errors import UsageError
from prefork._mold.stock import other_end
from prefork._mold.stock.origins import Origins
from prefork._mold.stock.shared import refuse_shared
inherited, origins = frozenset(other_end.links().values()), Origins()
origins.begin()
server = socket.create_server(("127.0.0.1", 0))
"""
AFTER = """
origins.end()
allowed = sys.argv[1:]
try:
    refuse_shared(inherited, origins, allowed)
    print("nothing")
except UsageError as error:
    print(error)
"""


def stock(source: str, *allowed: str) -> list[str]:
    """Return what is said of a program that has imported the module `shop` with this text."""
    shop = "import types\nshop = sys.modules['shop'] = types.ModuleType('shop')\nshop.server = server\n"
    shop += f"exec(compile({textwrap.dedent(source)!r}, '/srv/shop.py', 'exec'), vars(shop))\n"
    shop += "shop.__file__ = '/srv/shop.py'\ndel shop.server\n"
    return run(BEFORE + shop + AFTER, *allowed)


CONNECTED = """
import socket
def connect():
    return socket.create_connection(server.getsockname())
"""
PAIR = """
import os
a, b = socket.socketpair()
if os.fork() == 0:
    a.close(); b.recv(1); os._exit(0)
b.close()
"""
LOGGING = """
import logging.handlers
handler = logging.handlers.SocketHandler(*server.getsockname())
handler.emit(logging.makeLogRecord({}))
assert handler.sock
"""


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("db = connect()", "shop.db (socket.socket), from /srv/shop.py:4, is open to 127.0.0.1:"),
        ("class Store: pass\nstore = Store(); store.db = connect()", "shop.store (shop.Store), from /srv/shop.py:4,"),
        ("pool = {'idle': [connect()]}", "shop.pool (builtins.dict), from /srv/shop.py:4,"),
        ("kept = (lambda db: lambda: db)(connect())", "shop.kept (builtins.function), from /srv/shop.py:4,"),
        (
            "db = connect().detach()",
            "an object that no module holds, from /srv/shop.py:4, is open to",
        ),
        (
            "import subprocess\nserver = subprocess.Popen(['cat'], stdin=-1, stdout=-1)",
            "shop.server (subprocess.Popen) is open to a pipe of another process",
        ),
        (
            PAIR,
            "shop.a (socket.socket) is open to another process",
        ),
    ],
    ids=["variable", "attribute", "container", "closure", "number", "child", "pair"],
)
def test_what_workers_would_share_is_named(source: str, named: str) -> None:
    source = source.replace("\nserver =", "\nchild =")
    first, *rest = stock(CONNECTED + source)
    assert first.startswith(named.replace("shop.server", "shop.child")), first
    assert "in its lifespan" in rest[0]
    assert "--no-preload" in rest[1]


def test_an_open_database_is_named(tmp_path: Path) -> None:
    source = f"import sqlite3\ndb = sqlite3.connect('{tmp_path}/shop.db')\ndb.execute('create table t (a)')"
    first, *_ = stock(source)
    assert first == f"shop.db (sqlite3.Connection) is open to {tmp_path}/shop.db (descriptor {first[-2]})"


def test_the_line_of_the_assignment_stands_for_that_of_a_library(tmp_path: Path) -> None:
    (tmp_path / "store.py").write_text(
        f"import sqlite3\n\ndb = sqlite3.connect('{tmp_path}/s.db')\ndb.execute('create table t(a)')"
    )
    lines = run(BEFORE + f"sys.path.insert(0, {str(tmp_path)!r})\nimport store\n" + AFTER)
    assert f"store.db (sqlite3.Connection), from {tmp_path}/store.py:3, is open to" in lines[0]


@pytest.mark.parametrize(
    "source",
    [
        "statsd = socket.socket(type=socket.SOCK_DGRAM); statsd.connect(('127.0.0.1', 8125))",
        "listening = socket.create_server(('127.0.0.1', 0))",
        "pair = socket.socketpair()",
        "import os\npipe = os.pipe()",
        "import asyncio\nloop = asyncio.new_event_loop()\nloop.run_until_complete(asyncio.sleep(0))",
        "import sqlite3\ndb = sqlite3.connect(':memory:')\ndb.execute('create table t (a)')",
        "import subprocess\nchild = subprocess.Popen(['true'], stdout=-1)\nchild.wait()",
        "import multiprocessing\nqueue = multiprocessing.get_context('fork').Queue(); event = multiprocessing.Event()",
        "import select, os\nkept = select.epoll(), os.eventfd(0), os.memfd_create('x')",
        "connect().close()",
        LOGGING,
    ],
    ids=lambda source: source.split("=")[0].split("\n")[-1].split("(")[0].strip(),
)
def test_what_is_harmless_is_not_named(source: str) -> None:
    assert stock(CONNECTED + source) == ["nothing"]


def test_a_manager_connects_again_in_each_worker() -> None:
    source = (
        "import multiprocessing\nmanager = multiprocessing.get_context('fork').Manager()\nd = manager.dict(); d[1] = 2"
    )
    assert stock(source) == ["nothing"]


@pytest.mark.parametrize("name", ["shop.db", "PEER"])
def test_a_connection_can_be_allowed(name: str) -> None:
    program = (
        BEFORE + "db = socket.create_connection(server.getsockname())\nsys.modules['shop'] = sys.modules['__main__']\n"
    )
    program += "allowed_peer = '%s:%d' % server.getsockname()\n"
    after = AFTER.replace("sys.argv[1:]", "[allowed_peer]" if name == "PEER" else "['__main__.db']")
    assert run(program + after) == ["nothing"]


def test_functions_are_as_before_when_the_import_is_over() -> None:
    assert run(
        """
        import _thread, socket
        from prefork._mold.stock.origins import Origins
        origins, former = Origins(), vars(_thread).copy()
        origins.begin()
        import threading
        thread = threading.Thread(target=int)
        thread.start(); thread.join()
        origins.end()
        print(*origins.threads.values(), vars(_thread) == former, "connect" in vars(socket.socket))
        print(threading._start_new_thread is _thread.start_new_thread if sys.version_info < (3, 13) else True)
        """
    ) == ["<string>:12 True False", "True"]


# -- threads

THREADS = """
import atexit, os, sys, threading
from prefork._mold.stock import threads
from prefork._mold.stock.origins import Origins
origins = Origins()
origins.begin()
def sender():
    thread = threading.Thread(target=threading.Event().wait, name="sender", daemon=True)
    thread.start()
"""
SAY = """
origins.end()
print(*threads.lost(origins), threads.count_native(), sep="\\n")
sys.stdout.flush()
atexit._run_exitfuncs()  # From Python 3.14 on a process would name the semaphores that are left.
os._exit(0)
"""


def missed(source: str) -> list[str]:
    """Return what is said of threads, and last the number of those that Python does not know."""
    return run(THREADS + textwrap.dedent(source) + SAY)


def test_a_thread_that_workers_will_miss_has_its_place() -> None:
    line, _ = missed("sender()")
    assert line.startswith("thread 'sender', started at <string>:13, does not run in workers,"), line


@pytest.mark.parametrize(
    "source",
    [
        "sender(); os.register_at_fork(after_in_child=sender)",
        "thread = threading.Thread(target=print, args=('',)); thread.start(); thread.join()",
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2); pool.submit(int).result()",
        "import multiprocessing\nqueue = multiprocessing.Queue(); queue.put(1); queue.get()",
    ],
    ids=["comes back", "has ended", "executor", "queue"],
)
def test_threads_that_start_again_are_not_named(source: str) -> None:
    assert not any(missed(source)[:-1])


def test_a_fork_handler_that_hangs_does_not_stop_the_mold() -> None:
    source = "threads._TRIAL = 0.1\nos.register_at_fork(after_in_child=threading.Event().wait)\nsender()"
    assert missed(source)[0].startswith("thread 'sender'")


def test_threads_that_python_does_not_know_are_counted() -> None:
    lines = run(
        """
        import _thread
        from prefork._mold.stock import threads
        go, gone = _thread.allocate_lock(), _thread.allocate_lock()
        go.acquire(), gone.acquire()
        def wait():
            go.acquire()
            gone.release()
        _thread.start_new_thread(wait, ())
        print("threading" in sys.modules, threads.count_native())
        go.release()
        gone.acquire()
        """
    )
    assert lines == ["False 1"]


def test_a_thread_of_a_library_is_named_by_the_library() -> None:
    """One that waits in code of a library besides the C library's: here, in what the compiler made of a test."""
    source = textwrap.dedent(
        """
        #include <pthread.h>
        #include <unistd.h>
        static void *wait_for_ever(void *given) { for (;;) pause(); }
        void begin(void) { pthread_t thread; pthread_create(&thread, 0, wait_for_ever, 0); }
        """
    )
    lines = run(
        """
        import ctypes, subprocess, tempfile, time
        from prefork._mold.stock import threads
        from prefork._mold.stock.origins import Origins
        directory = tempfile.mkdtemp()
        made = subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", directory + "/libown.so"],
            input=sys.argv[1].encode())
        assert made.returncode == 0
        ctypes.CDLL(directory + "/libown.so").begin()
        [number] = threads._numbers([])
        while not open(f"/proc/self/task/{number}/syscall").read().startswith("34 "):  # pause(2)
            time.sleep(0.01)
        print(*threads.lost(Origins()), sep="\\n")
        sys.stdout.flush()
        os._exit(0)
        """,
        source,
    )
    assert lines[0].startswith("threads of libown.so (1) do not run in workers: "), lines


# -- repairs


def test_an_executor_works_in_each_worker() -> None:
    assert run(
        """
        from concurrent.futures import ThreadPoolExecutor
        from prefork._mold.stock.repair import Repairs
        pool = ThreadPoolExecutor(2)
        assert pool.submit(int, "1").result() == 1
        repairs = Repairs()
        repairs.prepare()
        repairs.prepare()
        def use():
            assert pool.submit(int, "2").result(timeout=20) == 2
        print(worker(use), worker(use), pool.submit(int, "3").result(), flush=True)
        """
    ) == ["0 0 3"]


def test_a_workers_exit_leaves_the_molds_children_alone() -> None:
    assert run(
        """
        import multiprocessing, signal
        from prefork._mold.stock.repair import Repairs
        context = multiprocessing.get_context("fork")
        child = context.Process(target=signal.pause, daemon=True)
        child.start()
        manager = context.Manager()
        shared = manager.dict(of="all")
        Repairs().prepare()
        def use():
            assert shared["of"] == "all"
        print(worker(use), worker(use), child.is_alive(), shared["of"], flush=True)
        """
    ) == ["0 0 True all"]


def test_workers_start_processes_where_the_import_has_done_so() -> None:
    """Each by a fork server of its own: the mold's, which Python 3.14 uses by default, is no child of them."""
    assert run(
        """
        import multiprocessing
        from multiprocessing import forkserver
        from prefork._mold.stock.repair import Repairs
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["decimal"])
        def start():
            child = context.Process(target=int)
            child.start(), child.join()
            return child.exitcode
        start()
        Repairs().prepare()
        molds = forkserver._forkserver._forkserver_pid
        def use():
            print(start(), start(), forkserver._forkserver._forkserver_pid != molds)
            print(forkserver._forkserver._preload_modules)
            forkserver._forkserver._stop()
        print(worker(use), start(), forkserver._forkserver._forkserver_pid == molds)
        forkserver._forkserver._stop()
        """
    ) == ["0 0 True", "['decimal']", "0 0 True"]


# -- patches

GEVENT = """
import os, types
from prefork._errors import UsageError
from prefork._linux import lifeline
from prefork._mold.stock import patches
from prefork._worker import handle
from prefork._worker.draining import drain
close = os.close
def patched(descriptor):
    "Close later, as gevent does."
gevent, monkey = types.ModuleType("gevent"), types.ModuleType("gevent.monkey")
gevent.reinit, monkey.saved = lambda: None, {"os": {"close": close}}
sys.modules["gevent"], sys.modules["gevent.monkey"] = gevent, monkey
os.close = patched
patches.settle()
"""


def test_own_modules_use_what_gevent_has_replaced() -> None:
    shown = "print(drain.os.close is lifeline.os.close is close, os.close is patched, drain.os.fork is os.fork)"
    assert run(GEVENT + shown) == ["True True True"]


def test_eventlet_is_refused_in_one_line() -> None:
    assert run(
        """
        import types
        from prefork._errors import UsageError
        from prefork._mold.stock import patches
        patcher = sys.modules["eventlet.patcher"] = types.ModuleType("eventlet.patcher")
        patcher.already_patched = {}
        patches.settle()
        patcher.already_patched["os"] = True
        try:
            patches.settle()
        except UsageError as error:
            print(error)
        """
    ) == ["eventlet.monkey_patch() leaves nothing to fork and wait with: use threads, asyncio or gevent"]
