"""haskell-prefork's README, claim by claim: its web server, translated as literally as Python allows."""

from __future__ import annotations

import os
import re
import signal
import sys
import urllib.request

import pytest

from support import PATIENCE, Running, Start, by_id, command_line, gone, until
from system.daemons import free_port

WARP = """
import argparse, socket
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
import prefork

@dataclass(frozen=True)
class Config:
    port: int

@dataclass(frozen=True)
class Worker(prefork.WorkerContext):
    wId: int
    wPort: int = field(compare=False)
    wSocketFd: prefork.Descriptor = field(compare=False)
    wHost: str = field(compare=False)
    wCap: int = field(compare=False)

    def interpreter_options(self):
        return ["-X", f"cap={self.wCap}"]

class Server:
    def __init__(self, port, workers):
        self.soc, self.port, self.workers = None, port, workers

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-p", dest="port", type=int, default=11111)
    parser.add_argument("-w", dest="workers", type=int, default=4)
    parser.add_argument("extra", nargs="*")
    option = parser.parse_args()
    resource = prefork.PreforkResource()
    s = Server(option.port, option.workers)
    prefork.default_main(prefork.relaunch_settings(resource, partial(update, s), partial(fork, s)), partial(action, s))

def action(s, worker):
    soc = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=worker.wSocketFd)
    config = update_config(s)
    if config is not None:
        run_settings_socket(config, soc, worker)

def update(s, resource):
    config = update_config(s)
    prefork.update_worker_set(resource, [
        Worker(wId=i, wPort=s.port, wSocketFd=prefork.Descriptor(-1), wHost="localhost", wCap=s.workers)
        for i in range(s.workers)
    ])
    return config

def fork(s, w):
    if s.soc is None:
        s.soc = listen_on(socket.gethostbyname(w.wHost), w.wPort)
        print("opened", s.soc.fileno(), flush=True)
    w = replace(w, wSocketFd=prefork.Descriptor(s.soc.fileno()))
    return prefork.fork_worker_process(w, [f"id={w.wId}"])

def update_config(s):
    if Path("workers").exists():
        s.workers = int(Path("workers").read_text())
    return Config(s.port)

def listen_on(host, port):
    soc = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    soc.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    soc.bind((host, port))
    soc.listen(1024)
    return soc

def run_settings_socket(config, soc, worker):
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"hello {worker.wId} {worker.wPort} {worker.wHost} {worker.wCap}".encode())

        def log_message(self, *_):
            pass

    http = HTTPServer(("", 0), Hello, bind_and_activate=False)
    http.socket = soc
    http.serve_forever()

if __name__ == "__main__":
    main()
"""


class Warp:
    """The server as it runs: five workers at a free port."""

    def __init__(self, start: Start) -> None:
        self.directory, self.port = start.directory, free_port()
        (start.directory / "warp.py").write_text(WARP)
        command = (sys.executable, "warp.py", "-p", str(self.port), "-w", "5")
        self.running: Running = start.command(*command)
        self.serves(5)

    def workers(self) -> dict[str, int]:
        """Return the pids of the workers by their last argument, `id=0`."""
        return by_id(self.running)

    def ask(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=PATIENCE) as answer:
            text: str = answer.read().decode()
            return text

    def serves(self, count: int) -> None:
        until(lambda: self.workers().keys() == {f"id={i}" for i in range(count)}, f"{count} workers")
        assert re.fullmatch(rf"hello [0-4] {self.port} localhost \d", self.ask())


@pytest.fixture(scope="module")
def warp(module_start: Start) -> Warp:
    return Warp(module_start)


def test_ps_shows_the_parent_and_a_child_for_each_id(warp: Warp) -> None:
    python, *program = command_line(warp.running.pid)
    assert program == ["warp.py", "-p", str(warp.port), "-w", "5"]
    for number, pid in warp.workers().items():
        assert command_line(pid) == [python, "-X", "cap=5", "warp.py", number]


def test_killed_worker_is_relaunched_with_its_id(warp: Warp) -> None:
    before = warp.workers()
    os.kill(before["id=2"], signal.SIGTERM)
    until(lambda: warp.workers().get("id=2") not in (None, before["id=2"]), "another with this id")
    after = warp.workers()
    assert after.pop("id=2") != before.pop("id=2")
    assert after == before, "the others stay"
    warp.serves(5)


def test_update_changes_the_workers_and_their_parameters(warp: Warp) -> None:
    before = warp.workers()
    (warp.directory / "workers").write_text("2")
    warp.running.send(signal.SIGHUP)
    assert all(gone(pid) for pid in before.values())
    warp.serves(2)
    assert warp.ask().endswith(" 2"), "wCap of the new context"
    assert all("cap=2" in command_line(pid) for pid in warp.workers().values())


def test_first_fork_opens_the_socket_that_all_inherit(warp: Warp) -> None:
    assert warp.running.stop() == 0
    assert [line.split()[0] for line in warp.running.out] == ["opened"]
    assert warp.running.err == []


INSTANCES = """
    def __eq__(self, other):
        return self.wId == other.wId

    def __hash__(self):
        return hash(self.wId)

    def __lt__(self, other):
        return self.wId < other.wId
"""


def test_literal_instances_of_eq_and_ord_are_refused(start: Start) -> None:
    source = WARP.replace(" = field(compare=False)", "").replace("wSocketFd: prefork.Descriptor", "wSocketFd: int")
    program = start.program(source.replace("\nclass Server:", f"{INSTANCES}\nclass Server:"), "-p", str(free_port()))
    assert program.wait() == 2
    (line,) = program.err
    assert line.startswith(
        "prefork: Worker.__eq__: remove it: the compared fields are a worker's identity, and its key"
    )
    assert line.endswith("for a parameter, use field(compare=False)")
    assert program.left() == []


def test_descriptor_in_an_int_is_not_inherited(start: Start) -> None:
    source = WARP.replace("wSocketFd: prefork.Descriptor", "wSocketFd: int")
    program = start.program(source, "-p", str(free_port()), "-w", "1")
    program.expect("Bad file descriptor", "err")
