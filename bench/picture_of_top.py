"""Make docs/top.svg: `prefork top` during a reload of a daemon under load.

python bench/picture_of_top.py [WIDTHxHEIGHT] [FILE]
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from time import monotonic

import prefork
from prefork.cli._top.app import Top

DAEMON = """
import random, time
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int

@dataclass(frozen=True)
class Mailer(prefork.WorkerContext):
    id: int

@dataclass(frozen=True)
class Scheduler(prefork.WorkerContext):
    pass

PAGES = ["GET /", "GET /orders", "POST /cart", "GET /search?q=tea", "GET /products/42", "GET /static/app.css"]
daemon = prefork.Daemon("shop", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [prefork.Pool(Web, size=6, min=2, max=16), Mailer(0), Mailer(1), Scheduler()]

@daemon.worker(Web)
def web(worker):
    time.sleep(0.8)  # What an application has to do before it can serve.
    for connection, _ in worker.accept("http"):
        with connection:
            worker.activity.begin(random.choice(PAGES))
            connection.recv(1000)
            time.sleep(random.expovariate(200) + (1.5 if random.random() < 0.0005 else 0.0))
            connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nhello")
            worker.activity.end(status=500 if random.random() < 0.004 else 200)

@daemon.worker(Mailer)
def mail(worker):
    while not worker.wait_draining(0.3 + worker.context.id):
        with worker.request("12 letters"):
            time.sleep(0.1)

@daemon.worker(Scheduler, replace="old-first")
def schedule(worker):
    worker.wait_draining()

if __name__ == "__main__":
    daemon.run()
"""


def customers(port: int, until: float) -> None:
    """Send requests without end, in waves."""
    while monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while connection.recv(1000):
                    pass
        except OSError:
            pass
        threading.Event().wait(random.expovariate(1 / 0.03) * (1.6 + math.sin(monotonic() / 5)))


async def picture(directory: Path, size: tuple[int, int], seconds: float) -> str:
    app = Top(prefork.connect(str(directory / "runtime")))
    app.title = "prefork top"
    async with app.run_test(size=size) as pilot:
        await asyncio.sleep(seconds)
        await pilot.press("down", "down", "down", "down", "r")
        while not re.search("rolling, [34] to go", app.export_screenshot().replace("&#160;", " ")):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.4)
        return app.export_screenshot()


def main() -> None:
    width, height = map(int, (sys.argv[1] if len(sys.argv) > 1 else "100x35").split("x"))
    file = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent.parent / "docs" / "top.svg"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "shop.py").write_text(DAEMON.replace("PORT", str(port)))
        environment = {**os.environ, "RUNTIME_DIRECTORY": str(directory / "runtime")}
        daemon = subprocess.Popen([sys.executable, "shop.py"], cwd=directory, env=environment)
        for _ in range(12):
            threading.Thread(target=customers, args=(port, monotonic() + 300), daemon=True).start()
        threading.Event().wait(10)  # Until the first connections of all have had their answers.
        drawn = asyncio.run(picture(directory, (width, height), 48))
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
    # A picture in a page may load no fonts; whichever there is, its bars are to meet.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
    drawn = drawn.replace("Fira Code", "monospace").replace(
        "textLength=", 'lengthAdjust="spacingAndGlyphs" textLength='
    )
    file.write_text("\n".join(line.strip() for line in drawn.splitlines() if line.strip()) + "\n")


if __name__ == "__main__":
    main()
