"""Flask by its factory, on both servers for WSGI."""

from __future__ import annotations

import signal
import threading

import httpx

from examples.example import Example
from load import Load
from support import PATIENCE, PROOF, Start, until

RUN = "prefork run app:create_app -w 4 -b 127.0.0.1:8000"


def test_it_serves_and_a_slow_request_survives_a_reload(start: Start) -> None:
    app = Example(start, "flask").run(RUN, "--server", "waitress")
    url = f"http://127.0.0.1:{app.port}"
    assert httpx.get(f"{url}/?name=you", timeout=PATIENCE).json()["hello"] == "you"
    slow_request_survives_a_reload(app)
    assert httpx.get(url, timeout=PATIENCE).json()["hello"] == "new world"
    assert app.stop() == 0


def slow_request_survives_a_reload(app: Example) -> None:
    """Reload to another greeting meanwhile."""
    url = f"http://127.0.0.1:{app.port}/slow?seconds=2"
    answers: list[object] = []
    slow = threading.Thread(target=lambda: answers.append(httpx.get(url, timeout=PATIENCE).json()))
    slow.start()
    app.edit("app.py", '"world"', '"new world"')
    app.reload()
    slow.join(PATIENCE)
    assert answers == [{"slept": 2.0}]


def test_it_is_found_without_its_name_and_scaled_under_load(start: Start) -> None:
    app = Example(start, "flask")
    app.edit("app.py", 'f"worker {os.getpid()}"', '"anybody"')
    app.readme += "\n    prefork run app -w 1 -b 127.0.0.1:8000"
    app.run("prefork run app -w 1 -b 127.0.0.1:8000", "--keepalive-window", "10", "--server", "granian")
    body = b'{"from":"anybody","hello":"world"}\n'
    each = 3 if PROOF else 1
    new, kept = Load(app.port, body, each), Load(app.port, body, each, keep=True)
    with new, kept:
        for number, count in (signal.SIGTTIN, 2), (signal.SIGTTIN, 3), (signal.SIGTTOU, 2):
            app.running.send(number)
            until(lambda count=count: len(app.workers("web")) == count, f"{count} workers")  # type: ignore[misc]
            new.more(10)
            kept.more(10)
        app.reload()
    assert not new.failures + kept.failures
    slow_request_survives_a_reload(app)
    hello = httpx.get(f"http://127.0.0.1:{app.port}/?name=you", timeout=PATIENCE).json()["hello"]
    assert hello == "you"
    assert httpx.get(f"http://127.0.0.1:{app.port}", timeout=PATIENCE).json()["hello"] == "new world"
    assert app.stop() == 0
