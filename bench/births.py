"""The cost of starting workers: from a death to the successor's first answer, hundreds at once, and from a large heap.

    python bench/births.py [MB of heap in the mold ...]

The master is the small one of the tests, without a supervisor: these are the figures of the mold and of the kernel.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent / "tests")]

from prefork._core.events import SpareForked, WorkerReady  # noqa: E402
from small_master import SmallMaster  # noqa: E402

MANY = 500
KILLED = 100
RELAUNCHES = 200
T = TypeVar("T")


def main() -> None:
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs")
    print(f"ctypes in an otherwise empty process: {rss('import ctypes') - rss('pass')} kB of RSS")
    for megabytes in [int(each) for each in sys.argv[1:]] or [0, 60]:
        with SmallMaster() as master:
            started = time.perf_counter()
            master.planned({"heap": megabytes})
            print(f"\nmold with a heap of {megabytes} MB, planned after {milliseconds(started):.0f} ms")
            relaunch(master)
            births(master)


def relaunch(master: SmallMaster) -> None:
    """Kill the only worker: a waiting spare succeeds it, and a client waits for the first answer."""
    worker = master.worker("serve")
    gone, ready, answered = [], [], []
    for _ in range(RELAUNCHES):
        spare = master.spare()
        with socket.create_connection(master.listener.getsockname()) as probe:
            probe.recv(65536)
        descriptor = os.pidfd_open(worker)
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        started = time.perf_counter()
        os.kill(worker, signal.SIGKILL)
        with socket.create_connection(master.listener.getsockname()) as client:
            waiting.poll()
            gone.append(milliseconds(started))
            os.waitpid(worker, 0)
            master.order(spare, "serve")
            master.expect(WorkerReady)
            ready.append(milliseconds(started))
            client.recv(65536)
            answered.append(milliseconds(started))
        os.close(descriptor)
        master.channels.finish(worker)
        worker = spare
    print("  from kill -9 of the only worker, median / 95 %:")
    for name, found in (("its end is seen", gone), ("successor ready", ready), ("first answer", answered)):
        print(f"    {name:16} {statistics.median(found):6.2f} / {statistics.quantiles(found, n=20)[-1]:.2f} ms")
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    master.channels.finish(worker)


def births(master: SmallMaster) -> None:
    forks = processes()
    pids = timed(f"{MANY} forks", lambda: fork_spares(master, MANY))
    print(f"    ({processes() - forks} processes were started on this machine meanwhile)")
    timed(f"{MANY} orders until all are ready", lambda: order(master, pids))
    print(f"  PSS of {MANY} workers: {sum(map(pss, pids)) / 1024:.0f} MB")

    def again() -> None:
        for pid in pids[:KILLED]:
            os.kill(pid, signal.SIGKILL)
        for pid in pids[:KILLED]:
            os.waitpid(pid, 0)
            master.channels.finish(pid)
        pids[:KILLED] = fork_spares(master, KILLED)
        order(master, pids[:KILLED])

    timed(f"{KILLED} killed at once, until as many are ready again", again)


def fork_spares(master: SmallMaster, count: int) -> list[int]:
    master.channels.fork_spares(1, count)
    return [master.expect(SpareForked).pid for _ in range(count)]


def order(master: SmallMaster, pids: list[int]) -> None:
    for pid in pids:
        master.order(pid, "wait")
    for _ in pids:
        master.expect(WorkerReady)


def timed(what: str, action: Callable[[], T]) -> T:
    started = time.perf_counter()
    result = action()
    print(f"  {what}: {milliseconds(started):.0f} ms")
    return result


def milliseconds(since: float) -> float:
    return (time.perf_counter() - since) * 1000


def processes() -> int:
    stat = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in stat if line.startswith("processes "))


def pss(pid: int) -> int:
    """Return the PSS in kB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))


def rss(code: str) -> int:
    """Return the RSS in kB."""
    code += "; print(next(each.split()[1] for each in open('/proc/self/status') if each.startswith('VmRSS')))"
    return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


if __name__ == "__main__":
    main()
