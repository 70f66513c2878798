"""The cost of `prefork status`, for the command and for the daemon, by the number of slots. Prints figures, no verdict.

    python bench/status.py [SLOTS ...]

Prints milliseconds: of whole commands, with the start of the interpreter, beside an interpreter that does nothing; and
of the master's CPU time. Also the time that another client waits for `hello`: what delays the master's loop delays this
answer too, and so does other load on the machine.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = """
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int

daemon = prefork.Daemon("bench", listeners={"http": "tcp://127.0.0.1:0"})

@daemon.plan
def plan():
    return [Web(i) for i in range(SLOTS)]

@daemon.worker(Web)
def web(worker):
    worker.ready()
    worker.wait_draining()

if __name__ == "__main__":
    daemon.run()
"""

ROUNDS = 15


def main() -> None:
    for slots in [int(argument) for argument in sys.argv[1:]] or [4, 500]:
        with tempfile.TemporaryDirectory() as directory, daemon(Path(directory), slots) as (master, environment):
            measure(slots, master, environment)


@contextmanager
def daemon(directory: Path, slots: int) -> Iterator[tuple[int, dict[str, str]]]:
    """Run a daemon with N slots; return its pid, and the environment that finds it."""
    (directory / "program.py").write_text(PROGRAM.replace("SLOTS", str(slots)))
    environment = {**os.environ, "RUNTIME_DIRECTORY": f"{directory}/runtime"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # Else our modules alone would be compiled at each start.
    line = [sys.executable, "program.py"]
    process = subprocess.Popen(line, cwd=directory, env=environment, stderr=subprocess.DEVNULL)
    try:
        while subprocess.run([command(), "status", "--check"], env=environment, capture_output=True).returncode:
            time.sleep(0.2)
        yield process.pid, environment
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def command() -> str:
    return str(Path(sys.executable).with_name("prefork"))


def measure(slots: int, master: int, environment: dict[str, str]) -> None:
    nothing = [once([sys.executable, "-c", "pass"], environment) for _ in range(ROUNDS)]
    as_json = [once([command(), "status", "--json"], environment) for _ in range(ROUNDS)]
    before = ticks(master)
    table = [once([command(), "status"], environment) for _ in range(ROUNDS)]
    spent = (ticks(master) - before) * 1000 / os.sysconf("SC_CLK_TCK") / ROUNDS
    shown = subprocess.run([command(), "status", "--json"], env=environment, capture_output=True, check=True)
    assert len(json.loads(shown.stdout)["slots"]) == slots
    print(f"{slots} slots, median of {ROUNDS} (minimum):")
    for name, times in ("python -c pass", nothing), ("status --json", as_json), ("status", table):
        wall, processor = zip(*times, strict=True)
        took, used = statistics.median(wall), statistics.median(processor)
        print(f"  {name:15} {took:6.1f} ms ({min(wall):.1f}), {used:.1f} ms of CPU time")
    print(f"  the master's part of one: {spent:.1f} ms of CPU time")
    idle, asked = waits(environment, ask=False), waits(environment, ask=True)
    for name, found in ("idle", idle), ("status asked for", asked):
        most = sorted(found)[len(found) * 99 // 100]
        print(f"  hello while {name:16}: median {statistics.median(found):.2f} ms, 99 % within {most:.2f} ms")


def once(line: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the milliseconds that a command took, and its CPU time in milliseconds."""
    began, before = time.monotonic(), os.times()
    subprocess.run(line, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return (time.monotonic() - began) * 1000, used * 1000


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def waits(environment: dict[str, str], ask: bool) -> list[float]:
    """Return how many milliseconds each `hello` waited, with and without constant requests for the status."""
    path = f"{environment['RUNTIME_DIRECTORY']}/control.sock"
    hello = b'{"protocol": 1, "request": "hello"}\n'
    asking = 0
    if ask and (asking := os.fork()) == 0:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            while True:
                sock.sendall(b'{"protocol": 1, "request": "status"}\n')
                while not sock.recv(1 << 20).endswith(b"\n"):
                    pass
    found = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        for _ in range(500):
            began = time.monotonic()
            sock.sendall(hello)
            sock.recv(1000)
            found.append((time.monotonic() - began) * 1000)
            time.sleep(0.002)
    if asking:
        os.kill(asking, signal.SIGKILL)
        os.waitpid(asking, 0)
    return found


if __name__ == "__main__":
    main()
