"""Requests lost over reloads under load: workers of the web sample, beside workers that run a stock uvicorn.

    python bench/reload_under_load.py [requests [reloads]]

16 clients send requests in a closed loop, each on a new connection; meanwhile the master gets SIGHUP several times.
Both sides have the same master and so the same order: new workers first. They differ in how the old ones end.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent / "tests")]

from load import Load  # noqa: E402

STOCK = """
import socket, uvicorn
import prefork.samples.web as web

def work(worker):
    config = uvicorn.Config(web.hello, log_config=None, access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=worker.listener)])

web.prefork.default_main(web.settings, work)
"""
SAMPLE = "import prefork.samples.web as web; web.main()"
BODY = b"6\r\nhello\n\r\n0\r\n\r\n"


def measure(name: str, program: str, requests: int, reloads: int) -> int:
    """Run one side; print the number of answers and failures, return the failures."""
    command = [sys.executable, "-c", program, "-p", "0", "-w", "4"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as master:
        assert master.stdout is not None
        match = re.search(r":(\d+)/", master.stdout.readline())
        assert match is not None
        begun = monotonic()
        with Load(int(match[1]), BODY, pause=0.005) as load:
            for _ in range(reloads):
                load.more(requests // (reloads + 1))
                os.kill(master.pid, signal.SIGHUP)
            load.more(requests - load.ended)
        seconds = monotonic() - begun
        master.terminate()
    reasons = ", ".join(f"{count} {reason}" for reason, count in load.failures.items()) or "none"
    print(f"{name}: {load.failures.total()} of {load.ended} failed, {reloads} reloads, {seconds:.0f} s ({reasons})")
    return load.failures.total()


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    reloads = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    ours = measure("prefork's draining uvicorn", SAMPLE, requests, reloads)
    stock = measure("stock uvicorn             ", STOCK, requests, reloads)
    print(f"failed, ours / stock: {ours} / {stock}")


if __name__ == "__main__":
    main()
