"""What the benchmarks of servers share: one application, the ways to serve it, and how to start, query and stop them.

The peers are installed in a virtual environment in the user's cache. prefork's side runs in it, too: the same
interpreter, uvicorn, granian, uvloop and httptools on both sides.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
PEERS = ["gunicorn", "uvicorn-worker"]
FOREIGN = {"uwsgi", "unicorn"}
"""Peers of the distribution, with an interpreter of their own."""
SERVERS = ["uvicorn", "granian", "hypercorn", "waitress"]

APPLICATION = """
import os, time

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = answer(scope["path"])
    length = str(len(body)).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

def wsgi(environ, start_response):
    body = answer(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

def answer(path):
    if path == "/slow":
        time.sleep(0.02)
    return str(os.getpid()).encode()
"""

DAEMON = """
import sys
from dataclasses import dataclass
import prefork
from application import app, wsgi
from prefork import adapters

name, protocol, sharing, port, workers = sys.argv[1:]
application = {"asgi": app, "wsgi": wsgi}[protocol]
server, options = adapters.find(name, protocol), adapters.ServerOptions()

@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int

listener = prefork.Listener(f"tcp://127.0.0.1:{port}", sharing=sharing)
daemon = prefork.Daemon("sharing", listeners={"http": listener})
daemon.plan(lambda: [Web(number) for number in range(int(workers))])
daemon.before_fork(lambda: server.warm(application, protocol, options))

@daemon.worker(Web, ready="explicit")
def web(worker):
    server.serve(worker, [worker.listener("http")], application, protocol, options)

daemon.run()
"""

_PREFORK = ["-c", "from prefork.cli import main; main()", "run", "-w", "{workers}", "-b", "tcp://127.0.0.1:{port}"]
_GUNICORN = ["-m", "gunicorn", "-w", "{workers}", "-b", "127.0.0.1:{port}", "--log-level", "error"]
_UVICORN = ["-m", "uvicorn", "--workers", "{workers}", "--port", "{port}", "--loop", "uvloop", "--http", "httptools"]
_GRANIAN_LOGGING = ["-m", "granian", "--workers", "{workers}", "--port", "{port}", "--loop", "uvloop"]
_GRANIAN = [*_GRANIAN_LOGGING, "--no-log"]
_UWSGI_ALIVE = ["--master", "--die-on-term", "--disable-logging"]
_UWSGI = [
    "uwsgi",
    "--plugin",
    "python3",
    "--module",
    "application:wsgi",
    "--master",
    "--die-on-term",
    "--disable-logging",
]
GRANIAN_ALONE = [*_GRANIAN_LOGGING, "application:app", "--interface", "asgi"]
"""granian with the log that its access log is a part of."""

UNICORN = """
worker_processes {workers}
preload_app true
"""
RACK = """
run lambda { |env|
  body = Process.pid.to_s
  [200, {"content-type" => "text/plain", "content-length" => body.size.to_s}, [body]]
}
"""

SIDES: dict[str, list[str]] = {
    "prefork, uvicorn": [*_PREFORK, "application:app", "--server", "uvicorn"],
    "prefork, granian": [*_PREFORK, "application:app", "--server", "granian"],
    "prefork, hypercorn": [*_PREFORK, "application:app", "--server", "hypercorn"],
    "prefork, granian (WSGI)": [*_PREFORK, "application:wsgi", "--server", "granian"],
    "prefork, waitress": [*_PREFORK, "application:wsgi", "--server", "waitress"],
    "prefork, uvicorn, sharded": ["daemon.py", "uvicorn", "asgi", "sharded", "{port}", "{workers}"],
    "prefork, granian, shared": ["daemon.py", "granian", "asgi", "shared", "{port}", "{workers}"],
    "prefork, hypercorn, sharded": ["daemon.py", "hypercorn", "asgi", "sharded", "{port}", "{workers}"],
    "prefork, waitress, sharded": ["daemon.py", "waitress", "wsgi", "sharded", "{port}", "{workers}"],
    "uvicorn": [*_UVICORN, "application:app", "--no-access-log", "--log-level", "error"],
    "granian": [*_GRANIAN, "application:app", "--interface", "asgi"],
    "granian (WSGI)": [*_GRANIAN, "application:wsgi", "--interface", "wsgi", "--blocking-threads", "8"],
    "gunicorn, gthread": [*_GUNICORN, "application:wsgi", "-k", "gthread", "--threads", "8"],
    "gunicorn, uvicorn": [*_GUNICORN, "application:app", "-k", "uvicorn_worker.UvicornWorker"],
    "gunicorn, sync, preloaded": [*_GUNICORN, "application:wsgi", "--preload"],
    "gunicorn, uvicorn, preloaded": [*_GUNICORN, "application:app", "-k", "uvicorn_worker.UvicornWorker", "--preload"],
    "uWSGI": [*_UWSGI, "--http-socket", "127.0.0.1:{port}", "--processes", "{workers}"],
    "unicorn": ["unicorn", "-c", "unicorn.rb", "-l", "127.0.0.1:{port}", "config.ru"],
    "hypercorn": ["-m", "hypercorn", "-w", "{workers}", "-b", "127.0.0.1:{port}", "application:app"],
    "waitress": ["-m", "waitress", "--listen", "127.0.0.1:{port}", "--threads", "8", "application:wsgi"],
}
"""How each side is started. None of them writes an access log; all on uvloop and httptools that can be."""


def interpreter() -> str:
    """Return the Python of the environment with all peers; create the environment if it does not exist."""
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]
    extras = [each for name in (*SERVERS, "metrics") for each in project["optional-dependencies"][name]]
    needed = [*project["dependencies"], *extras, *PEERS]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prefork-bench"
    key = hashlib.sha256("\n".join([sys.version, sys.executable, *needed]).encode()).hexdigest()[:12]
    environment = cache / key
    python = environment / "bin" / "python"
    if not (environment / "installed").exists():
        print(f"installing the peers into {environment}", file=sys.stderr)
        shutil.rmtree(environment, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *needed], check=True)
        (environment / "installed").touch()
    return str(python)


def versions() -> str:
    """Return one line with the versions that are compared."""
    names = ["uvicorn", "uvloop", "httptools", "granian", "gunicorn", "hypercorn", "waitress"]
    code = f"from importlib.metadata import version; print(', '.join(f'{{n}} {{version(n)}}' for n in {names}))"
    found = subprocess.run([interpreter(), "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    return f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, {scheduling()}; {found}"


def scheduling() -> str:
    """Return what shares the processors: processes, as in a container or a service manager's unit, or sessions.

    Without a cgroup Linux may share them by sessions (sched(7), autogroup). Each worker of prefork leads a session, and
    those of other servers stay in their master's, so that they are not treated alike then.
    """
    try:
        by_session = Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1"
    except OSError:
        by_session = False
    return "shared by sessions (in a cgroup: by processes)" if by_session and not in_cgroup() else "shared by processes"


def in_cgroup() -> bool:
    """Whether this process is in another cgroup than the root of those that share processors."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" and Path(f"/sys/fs/cgroup{path}/cpu.weight").exists():
            return True
        if "cpu" in controllers.split(",") and path != "/":
            return True
    return False


def wrk() -> str:
    """Return the path of wrk, which most distributions have."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("these figures are made with wrk, which is not here (Debian: apt install wrk)")
    return found


@dataclass
class Server:
    """One side, running."""

    name: str
    pid: int
    port: int
    directory: Path

    def tree(self) -> list[int]:
        """Return all its processes."""
        found = [self.pid]
        for pid in found:
            found += children(pid)
        return found

    def cpu(self) -> float:
        """Return the CPU time in seconds, user and system, of all its processes."""
        return sum(_ran(thread) for pid in self.tree() for thread in _threads(pid)) / 1e9

    def ask(self, path: str = "/", timeout: float = 30) -> int:
        """Return the pid of the worker that answers a new connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as client:
            client.sendall(request(path))
            return int(_body(client))

    def serving(self, workers: int) -> set[int]:
        """Return the pids of N workers that answer, as soon as there are N."""
        answered: set[int] = set()
        deadline = time.monotonic() + 60
        while len(answered) < workers:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.name}: only {len(answered)} of {workers} workers answer")
            try:
                answered |= self._ask_several(4 * workers)
            except OSError:
                time.sleep(0.01)  # Not listening yet.
        return answered

    def _ask_several(self, count: int) -> set[int]:
        clients = [socket.create_connection(("127.0.0.1", self.port), timeout=30) for _ in range(count)]
        try:
            for client in clients:
                client.sendall(request("/"))
            return {int(_body(client)) for client in clients}
        finally:
            for client in clients:
                client.close()


@contextmanager
def running(side: str, workers: int, application: str = APPLICATION, await_all: bool = True) -> Iterator[Server]:
    """Serve the application by this side until the block ends; all its workers answer from the start, or one."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "application.py").write_text(application)
        (directory / "daemon.py").write_text(DAEMON)
        (directory / "config.ru").write_text(RACK)
        (directory / "unicorn.rb").write_text(UNICORN.format(workers=workers))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "RUNTIME_DIRECTORY": f"{directory}/run"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [part.format(workers=workers, port=port) for part in SIDES[side]]
        process = subprocess.Popen(
            command if command[0] in FOREIGN else [interpreter(), *command],
            cwd=directory,
            env=environment,
            stdout=(directory / "out").open("w"),
            stderr=(directory / "log").open("w"),
            start_new_session=True,
        )
        server = Server(side, process.pid, port, directory)
        try:
            server.serving(workers if await_all and side != "waitress" else 1)
            yield server
        finally:
            _end(process, server)


def _end(process: subprocess.Popen[bytes], server: Server) -> None:
    everybody = server.tree()
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in everybody[1:]:  # Some masters end before their workers, and some never end them.
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass


def request(path: str, *, keep: bool = False) -> bytes:
    """Send one request, after which the server closes the connection."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()


def children(pid: int) -> list[int]:
    """Return its child processes, of all its threads."""
    return [int(child) for thread in _threads(pid) for child in _read(thread / "children").split()]


def _threads(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _ran(thread: Path) -> int:
    return int((_read(thread / "schedstat") or "0").split()[0])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # It has ended meanwhile.


def _body(client: socket.socket) -> bytes:
    answer = b""
    while data := client.recv(4096):
        answer += data
    if not answer:
        raise ConnectionError("closed without an answer")
    return answer.rpartition(b"\r\n")[2]
