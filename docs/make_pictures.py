"""Make the pictures of docs/dashboard.md: a daemon under load, watched in a headless Chromium.

    .venv/bin/python docs/make_pictures.py

It takes about two minutes. The picture of a rollout is taken in its middle, so it differs a little each time.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path
from time import sleep

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser import Browser, Page  # noqa: E402
from support import Start  # noqa: E402
from system.dashboards import Dashboard  # noqa: E402

SOURCE = """
import asyncio, os, random, threading

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await asyncio.sleep(1)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["path"] == "/checkout":
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()
    if scope["path"] == "/import":
        os._exit(3)
    await asyncio.sleep(random.lognormvariate(-4, 0.8))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""

LOADED = 112
"""Seconds of load before the first picture: then the charts are full."""

PATHS = ("/", "/", "/orders/17", "/orders/4711", "/stock", "/search?q=lamp")


def main() -> None:
    """Make all pictures."""
    with tempfile.TemporaryDirectory() as directory:
        start = Start(Path(directory))
        try:
            run = Dashboard(
                start,
                "-w",
                "6",
                "--name",
                "shop",
                "--hang-timeout",
                "8",
                *("--hang-policy", "report", "--drain-timeout", "2"),
                source=SOURCE,
            )
            run.ready()
            browser = Browser(start)
            take(run, browser)
            browser.close()
            run.stop()
        finally:
            start.close()


def take(run: Dashboard, browser: Browser) -> None:
    """Take them one after the other; each needs what came before."""
    ended = threading.Event()
    for _ in range(5):
        threading.Thread(target=request_often, args=(run, ended), daemon=True).start()
    wide = browser.page(run.url, 1140, 640, prefers_color_scheme="dark")
    request(run, "/import")
    sleep(LOADED)
    run.running.send(signal.SIGHUP)
    wide.until("document.querySelector('progress').value >= 0.5")
    save(wide, "dashboard")
    wide.until("document.querySelector('#rollout').dataset.change === 'none'")
    wide.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    request(run, "/checkout")
    wide.until("document.querySelector('.reasons button')")
    save(wide, "dashboard-hang")
    phone = browser.page(run.url, 390, 760, prefers_color_scheme="dark")
    sleep(10)
    save(phone, "dashboard-phone")
    ended.set()


def save(page: Page, name: str) -> None:
    """Write a picture."""
    picture = page.picture()
    (DOCS / f"{name}.png").write_bytes(picture)
    print(f"docs/{name}.png: {len(picture) // 1000} kB")


def request(run: Dashboard, path: str) -> None:
    """Send a request, and wait for no answer."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{run.port}{path}", timeout=0.3).close()
    except OSError:
        pass  # There is none from a worker that ends or hangs.


def request_often(run: Dashboard, ended: threading.Event) -> None:
    """Send requests, now more of them, now fewer."""
    while not ended.wait(random.expovariate(15)):
        request(run, random.choice(PATHS))


if __name__ == "__main__":
    main()
