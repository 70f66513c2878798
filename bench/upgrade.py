"""Upgrades of the master under load: prefork beside gunicorn, unicorn, uWSGI and Server::Starter.

    python bench/upgrade.py [side ...] [--times N]

16 clients ask on new connections, 4 on kept ones, one looks for the longest time without an answer; meanwhile the
master's program is replaced as each tool's manual says. What is missing on this machine is named and left out
(Debian: apt install unicorn uwsgi-plugin-python3 libserver-starter-perl starman).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent / "tests")]

from peers import interpreter  # noqa: E402

from load import Load  # noqa: E402

TIMES, PAUSE, PATIENCE = 5, 0.005, 30.0

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""
RACK = "run lambda { |env| [200, {'Content-Type' => 'text/plain', 'Content-Length' => '5'}, ['hello']] }\n"
UNICORN = "worker_processes 2\nlisten '127.0.0.1:PORT', backlog: 2048\npid 'pid'\n"
PSGI = "sub { [200, ['Content-Type' => 'text/plain', 'Content-Length' => 5], ['hello']] }\n"


@dataclass
class Side:
    """How a server is started, and how its master's program is replaced: that returns when the next one serves."""

    command: list[str]
    replace: Callable[[Running], None]
    files: dict[str, str] = field(default_factory=dict)


class Running:
    """A server under test. `pid` is its master's, which may change."""

    def __init__(self, side: Side, directory: Path, port: int) -> None:
        self.directory, self.port = directory, port
        for name, text in side.files.items():
            (directory / name).write_text(text.replace("PORT", str(port)))
        command = [word.replace("PORT", str(port)) for word in side.command]
        environment = {**os.environ, "RUNTIME_DIRECTORY": str(directory / "run")}
        with open(directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=directory, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.pid = self.process.pid
        self.until(self.answers, "an answer")

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"hello" in client.recv(1000)
        return False

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(
                    f"{what} never came; the log ends with:\n{(self.directory / 'log').read_text()[-2000:]}"
                )
            time.sleep(0.02)

    def logged(self, what: str) -> int:
        return len(re.findall(what, (self.directory / "log").read_text(errors="replace")))

    def noted(self, name: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self.directory / name).read_text())
        return 0

    def children(self, pid: int) -> set[int]:
        with contextlib.suppress(OSError):
            return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
        return set()

    def end(self) -> None:
        for pid in {self.pid, self.process.pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def by_command(running: Running) -> None:
    environment = {**os.environ, "RUNTIME_DIRECTORY": str(running.directory / "run")}
    done = subprocess.run([sys.executable, "-m", "prefork", "upgrade"], env=environment, capture_output=True, text=True)
    print(f"    {done.stdout.strip() or done.stderr.strip()}")


def by_two_masters(running: Running, ready: str, graceful: signal.Signals) -> None:
    """USR2 begins a second master; once its workers run, the first one is ended in order."""
    old, before = running.noted("pid"), running.logged(ready)
    os.kill(old, signal.SIGUSR2)
    running.until(lambda: running.logged(ready) >= before + 2, "the workers of the next master")
    os.kill(old, graceful)
    running.until(lambda: ended(old), "its end")
    running.until(lambda: running.noted("pid") not in (0, old), "the next pid file")
    running.pid = running.noted("pid")


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def by_hup(running: Running) -> None:
    """HUP: uWSGI executes itself under its pid; Server::Starter, which stays, begins another server."""
    before = running.children(running.pid)
    os.kill(running.pid, signal.SIGHUP)
    running.until(lambda: (now := running.children(running.pid)) and not now & before, "other workers")
    running.until(running.answers, "an answer")


def gunicorn(running: Running) -> None:
    by_two_masters(running, "Booting worker", signal.SIGTERM)


def unicorn(running: Running) -> None:
    by_two_masters(running, r"worker=\d ready", signal.SIGQUIT)


GUNICORN = ["-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:PORT", "-p", "pid", "application:app", "--backlog", "2048"]


def sides() -> dict[str, Side]:
    python, files = interpreter(), {"application.py": WSGI}
    prefork = [sys.executable, "-m", "prefork", "run", "application:app", "-w", "2", "-b", "127.0.0.1:PORT"]
    found = {
        "prefork": Side(prefork, by_command, files),
        "gunicorn, sync": Side([python, *GUNICORN], gunicorn, files),
        "gunicorn, gthread": Side([python, *GUNICORN, "-k", "gthread", "--threads", "8"], gunicorn, files),
    }
    if path := shutil.which("unicorn"):
        command = [path, "-c", "unicorn.rb", "config.ru"]
        files = {"config.ru": RACK, "unicorn.rb": UNICORN}
        found["unicorn"] = Side(command, unicorn, files)
    if path := shutil.which("uwsgi"):
        options = [
            "--plugin",
            "python3",
            "--http-socket",
            "127.0.0.1:PORT",
            "--master",
            "--processes",
            "2",
            "--listen",
            "1024",
        ]
        found["uWSGI"] = Side(
            [path, *options, "--wsgi-file", "application.py", "--callable", "app"], by_hup, {"application.py": WSGI}
        )
    if (path := shutil.which("start_server")) and (starman := shutil.which("starman")):
        command = [path, "--port=127.0.0.1:PORT", "--", starman, "--workers", "2", "--disable-keepalive", "app.psgi"]
        found["Server::Starter, starman"] = Side(command, by_hup, {"app.psgi": PSGI})
    return found


@contextlib.contextmanager
def gaps(port: int) -> Iterator[list[float]]:
    """Ask one request after the other, and note how long each took, in seconds."""
    took: list[float] = []
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.is_set():
            begun = time.monotonic()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while client.recv(1000):
                    pass
            took.append(time.monotonic() - begun)
            stopping.wait(PAUSE)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield took
    finally:
        stopping.set()
        thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def measure(name: str, side: Side, times: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        running, first = Running(side, Path(directory), free_port()), 0
        first, lasted = running.pid, []
        try:
            new, kept = (
                Load(running.port, b"hello", pause=PAUSE),
                Load(running.port, b"hello", 4, keep=True, pause=PAUSE),
            )
            with new, kept, gaps(running.port) as took:
                for _ in range(times):
                    new.more(200)
                    begun = time.monotonic()
                    side.replace(running)
                    lasted.append(time.monotonic() - begun)
                new.more(200)
            same = "same pid" if running.pid == first else "other pid"
        finally:
            running.end()
    print(
        f"{name}: {new.failures.total()} of {new.ended} failed on new connections, "
        f"{kept.failures.total()} of {kept.ended} on kept ones ({kept.closed} closed), {same}, "
        f"{sorted(lasted)[times // 2]:.2f} s each, "
        f"longest wait {max(took) * 1000:.0f} ms {dict(new.failures + kept.failures) or ''}",
        flush=True,
    )


def main(arguments: list[str]) -> None:
    times = TIMES
    if "--times" in arguments:
        place = arguments.index("--times")
        times = int(arguments[place + 1])
        del arguments[place : place + 2]
    found = sides()
    print(f"load of the machine: {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    for name, side in found.items():
        if not arguments or name.split(",")[0] in arguments or name in arguments:
            measure(name, side, times)


if __name__ == "__main__":
    main(sys.argv[1:])
