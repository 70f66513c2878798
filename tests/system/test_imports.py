"""What an import leaves behind, in whole daemons: what is refused, and what a reload does then."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator

import pytest

from support import PROOF, Start
from system.runs import PREFORK, WSGI, Run, check, write

CONNECTED = "import socket\ndb = socket.create_connection(('127.0.0.1', PORT))\n"


@pytest.fixture
def source() -> Iterator[str]:
    """The text of a module that connects when it is imported."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield CONNECTED.replace("PORT", str(server.getsockname()[1])) + WSGI


def test_a_shared_connection_is_refused_and_can_be_allowed(start: Start, source: str) -> None:
    write(start, "shop.py", source)
    status, _, err = check(start, "shop")
    assert status == 1
    assert f"shop.db (socket.socket), from {start.directory}/shop.py:2, is open to 127.0.0.1:" in err
    assert check(start, "shop", "--allow-shared", "shop.db")[0] == 0


def test_a_reload_that_would_share_one_changes_nothing(start: Start, source: str) -> None:
    write(start, "shop.py", WSGI)
    run = Run(start, "shop", "-w", "1")
    run.ready()
    before = run.who()
    write(start, "shop.py", source)
    run.running.send(signal.SIGHUP)
    run.running.expect(r"reload: failed: .*shop.db \(socket.socket\), from \S+/shop.py:2, is open to", "err")
    assert run.who() == before
    assert run.stop() == 0


EXECUTOR = """
import os
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(2)
pool.submit(os.getpid).result()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(pool.submit(os.getpid).result()).encode()]
"""


def test_an_executor_used_at_import_answers_in_workers(start: Start) -> None:
    write(start, "shop.py", EXECUTOR)
    run = Run(start, "shop", "-w", "2")
    run.ready()
    assert len(run.pids(2)) == 2
    assert run.stop() == 0


SENDER = """
import atexit, queue, threading
events = queue.Queue()

def send():
    while True:
        events.get()
        events.task_done()

threading.Thread(target=send, name="sender", daemon=True).start()

@atexit.register
def flush():
    events.put("the last one")
    events.join()
"""


def test_an_exit_that_waits_for_a_lost_thread_shows_where(start: Start) -> None:
    write(start, "shop.py", SENDER + WSGI)
    run = Run(start, "shop", "-w", "1", "--drain-timeout", "3")
    run.running.expect(rf"thread 'sender', started at {start.directory}/shop.py:10, does not run in workers", "err")
    run.ready()
    assert run.who()[1] == "hello"
    run.running.send(signal.SIGTERM)
    run.running.expect(r'shop.py", line 15 in flush', "err")
    run.running.wait()


COUNTED = """
import os, pathlib
pathlib.Path("imported-" + MARK + f"-{os.getpid()}").touch()
if len(list(pathlib.Path().glob("imported-new-*"))) > 1:
    raise RuntimeError("only the mold can import this")
"""


def test_without_preloading_each_worker_imports_by_itself(start: Start, source: str) -> None:
    """And a reload that only workers cannot import changes nothing."""
    write(start, "shop.py", COUNTED.replace("MARK", "'old'") + source)
    run = Run(start, "shop", "-w", "2", "--no-preload")
    run.ready()
    before = run.pids(2)
    assert before < {int(path.name.rpartition("-")[2]) for path in start.directory.glob("imported-old-*")}
    write(start, "shop.py", COUNTED.replace("MARK", "'new'") + source)
    run.running.send(signal.SIGHUP)
    run.running.expect("^reload: failed: web/0: exited 1", "err")
    run.running.expect("RuntimeError: only the mold can import this", "err")
    assert run.pids(2) == before
    assert run.stop() == 0


BLOCKED = """
import socket

def wait():
    ours, theirs = socket.socketpair()
    ours.recv(1)

wait()
"""
IN_C = """
import itertools

def wait():
    return sum(itertools.repeat(1))

wait()
"""
FORKING = """
import os, sys, time, warnings
warnings.simplefilter("error")

def wait():
    while True:
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        time.sleep(0.1)

wait()
"""


@pytest.mark.parametrize("how", ["blocked", "in-c", "forking"] if PROOF else ["blocked"])
def test_an_import_that_does_not_return_shows_where_it_is(start: Start, how: str) -> None:
    source = {"blocked": BLOCKED, "in-c": IN_C, "forking": FORKING}[how]
    write(start, "shop.py", source.replace("\nwait()", "\nprint('waits', flush=True)\nwait()") + WSGI)
    run = Run(start, "shop")
    run.running.expect("^waits$")
    [mold] = run.running.children()
    frame = re.escape(f'File "{start.directory}/shop.py", line ') + r"\d+ in wait$"
    command = start.command(PREFORK, "stacks", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    command.expect(rf"^mold \(pid {mold}, generation 1\): importing for .*has not returned$")
    command.expect(frame)
    run.running.send(signal.SIGQUIT)
    run.running.expect(rf"^mold \(pid {mold}\): importing$", "err")
    run.running.expect(frame, "err")
    run.running.expect(r"^mold of generation 1: still importing after \d s, at \(the innermost call first\)$", "err")
    run.running.expect(frame, "err")
    assert not [line for line in run.running.err if "Warning" in line]
    run.running.send(signal.SIGTERM)
    run.running.wait()


def test_a_check_of_an_import_that_does_not_return_shows_it(start: Start) -> None:
    (start.directory / "werkzeug").mkdir()
    write(start, "werkzeug/__init__.py", "")
    write(start, "werkzeug/serving.py", BLOCKED)
    write(start, "shop.py", "import werkzeug.serving\n" + WSGI)
    status, _, err = check(start, "shop", "--import-timeout", "4")
    assert status == 1
    assert "importing the application took longer than --import-timeout: raise it; it is at" in err
    assert f'File "{start.directory}/shop.py", line 1 in <module>' in err
    assert 'It runs a server of its own: put that call behind `if __name__ == "__main__":`' in err


def test_a_command_line_read_at_import_is_named_by_its_module(start: Start) -> None:
    write(start, "shop.py", "import argparse\nargparse.ArgumentParser().parse_args(['--port'])\n" + WSGI)
    status, _, err = check(start, "shop")
    assert status == 1
    assert "shop: error: unrecognized arguments: --port" in err
