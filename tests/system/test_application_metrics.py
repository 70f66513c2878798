"""An application's own /metrics, and the agent's, have the totals of all workers, with the code that people have."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest

from support import PROOF, Start, until
from system.agents import Watched
from system.runs import Run, write

FASTAPI = """
import os
from fastapi import FastAPI
from prometheus_fastapi_instrumentator import Instrumentator

app = FastAPI()
Instrumentator().instrument(app).expose(app)

@app.get("/items")
def items():
    return os.getpid()
"""
FLASK = """
import os
from flask import Flask
from prometheus_flask_exporter import PrometheusMetrics

app = Flask(__name__)
metrics = PrometheusMetrics(app)
metrics.info("app_info", "The version.", version="1.0")

@app.get("/items")
def items():
    return str(os.getpid())
"""
DJANGO = """
import os
import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import include, path

settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="for a test", INSTALLED_APPS=["django_prometheus"],
    MIDDLEWARE=["django_prometheus.middleware.PrometheusBeforeMiddleware",
                "django_prometheus.middleware.PrometheusAfterMiddleware"],
)
urlpatterns = [
    path("items", lambda request: HttpResponse(str(os.getpid())), name="items"),
    path("", include("django_prometheus.urls")),
]
from django.core.wsgi import get_wsgi_application
app = get_wsgi_application()
"""
TOTALS = {
    "fastapi": r'http_requests_total\{handler="/items",method="GET",status="2xx"\} (\S+)',
    "flask": r'flask_http_request_total\{method="GET",status="200"\} (\S+)',
    "django": r'django_http_responses_total_by_status_view_method_total\{[^}]*view="items"[^}]*\} (\S+)',
}


class Asked(Run):
    """A daemon whose requests this test counts, by path."""

    asked = 0

    def items(self, count: int) -> None:
        for _ in range(count):
            self.get("/items")
            self.asked += 1

    def totals(self, pattern: str) -> set[float]:
        """Return what several scrapes say, of different workers mostly."""
        found = set()
        for _ in range(6):
            text = self.get("/metrics").decode()
            match = re.search(pattern, text)
            assert match, text
            found.add(float(match[1]))
        return found


EXPORTERS = [("fastapi", FASTAPI), ("flask", FLASK), ("django", DJANGO)]


@pytest.mark.parametrize(("name", "source"), EXPORTERS if PROOF else EXPORTERS[:1])
def test_frameworks_exporters_have_all_workers_totals(start: Start, name: str, source: str) -> None:
    """Unchanged, on four workers, and over a killed worker and a reload."""
    write(start, "shop.py", source)
    run = Asked(start, "shop:app", "-w", "4")
    run.ready()
    run.items(40)
    old = int(run.get("/items"))
    run.asked += 1
    # An exporter may count a request after its response.
    until(lambda: run.totals(TOTALS[name]) == {run.asked}, "all requests were counted")
    os.kill(old, signal.SIGKILL)
    run.running.expect("killed by SIGKILL", "err")
    run.items(10)
    run.running.send(signal.SIGHUP)
    run.running.expect("^reload: done", "err")
    run.items(10)
    until(lambda: run.totals(TOTALS[name]) == {run.asked}, "none was lost")
    assert run.stop() == 0


SHOP = """
import os, sys, threading
from prometheus_client import Counter, Enum, Gauge, Histogram, Info, Summary, generate_latest
from prometheus_client.core import GaugeMetricFamily
import prefork

CALLS = Counter("shop_calls", "Calls.", ["path"])
LOADED = Counter("shop_loaded", "Imports.")
LOADED.inc()
SECONDS = Histogram("shop_seconds", "Seconds.", buckets=(0.1, 1.0))
BYTES = Summary("shop_bytes", "Bytes.")
PID = Gauge("shop_pid", "The pid.")
BUILD = Gauge("shop_build", "The build.", multiprocess_mode="livesum")
BUILD.set(1)
STOCK = Gauge("shop_stock", "Stock.", ["thing"], multiprocess_mode="max")
Info("shop", "The version.").info({"version": "7"})
Gauge("shop_answer", "A function.").set_function(lambda: 42)

@prefork.collector
def queue():
    yield GaugeMetricFamily("shop_queue", f"Of {os.getpid()}.", value=11)

@prefork.collector
class Broken:
    def collect(self):
        raise ValueError("no queue")

def forks():
    pid = os.fork()
    if pid == 0:
        CALLS.labels("/fork").inc(1000)
        os._exit(0)
    os.waitpid(pid, 0)

def threads():
    sys.setswitchinterval(1e-6)
    calls = CALLS.labels("/thread")
    started = [threading.Thread(target=lambda: [calls.inc() for _ in range(20_000)]) for _ in range(4)]
    for each in started: each.start()
    for each in started: each.join()
    sys.setswitchinterval(0.005)

def clear():
    STOCK.clear()

def stock():
    STOCK.labels("apple").set(5)

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    path, body = scope["path"], b""
    if path == "/metrics":
        body = generate_latest()
    else:
        PID.set(os.getpid())
        CALLS.labels(path).inc()
        SECONDS.observe(0.5, exemplar={"trace": "ab12"})
        BYTES.observe(7)
        globals().get(path[1:], lambda: None)()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body or str(os.getpid()).encode()})
"""
ASKED = 'shop_calls_total{path="/asked"}'
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One daemon for the tests that follow, with an agent."""
    start = Start(tmp_path_factory.mktemp("shop"))
    try:
        run = Watched(start, source=SHOP)
        run.ready()
        run.pids(2)
        yield run
        assert run.stop() == 0
    finally:
        start.close()


def samples(text: str) -> dict[str, float]:
    """Return the application's samples without when they were created."""
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("shop_")]
    return {name: float(value) for name, value in lines if "_created" not in name}


def each(shop: Watched, path: str, pids: set[int]) -> None:
    """Have each of these workers asked for a path."""
    left = set(pids)

    def asked() -> bool:
        left.discard(int(shop.get(path)))
        return not left

    until(asked, f"every worker is asked for {path}")


def own(shop: Watched) -> dict[str, float]:
    return samples(shop.get("/metrics").decode())


def agents(shop: Watched) -> dict[str, float]:
    """Return what the agent says once the answer that it keeps for a moment is a later one."""
    asked = shop.get("/asked")
    until(lambda: samples(shop.ask("/metrics")[1])[ASKED] == own(shop)[ASKED], f"the agent has counted {asked!r}")
    return samples(shop.ask("/metrics")[1])


def test_worker_and_agent_say_the_same(shop: Watched) -> None:
    shop.get("/same")
    of_agent, of_worker = agents(shop), own(shop)
    assert of_agent.pop("shop_queue") == 11
    assert {of_worker.pop('shop_info{version="7"}'), of_worker.pop("shop_answer")} == {1, 42}
    assert of_worker == of_agent
    assert of_agent['shop_calls_total{path="/same"}'] == 1
    assert of_agent["shop_loaded_total"] == 1, "the import has counted once, and not in each worker"
    assert of_agent["shop_build"] == 2, "the agent is no worker"


def test_gauges_of_all_are_told_apart_by_slot(shop: Watched) -> None:
    found = {name: int(value) for name, value in agents(shop).items() if name.startswith("shop_pid")}
    assert {f'shop_pid{{worker="{key}"}}' for key in ("web/0", "web/1")} == found.keys()
    assert set(found.values()) == shop.pids(2)


def test_openmetrics_have_exemplars_help_and_types(shop: Watched) -> None:
    text = shop.ask("/metrics", accept=OPENMETRICS)[1]
    assert re.search(r'^shop_seconds_bucket{le="1.0"} \d+\.0 # {trace="ab12"} 0.5 \d+', text, re.MULTILINE), text
    assert "# HELP shop_calls Calls.\n# TYPE shop_calls counter\n" in text
    assert "\nprefork_application_series_dropped_total 0.0\n" in text


def test_custom_collectors_run_in_the_agent_alone(shop: Watched) -> None:
    assert "shop_queue" not in own(shop)
    pid = shop.slot("agent/0")["pid"]
    assert f"# HELP shop_queue Of {pid}." in shop.ask("/metrics")[1]
    shop.running.expect("^a collector of the application failed; the others are served$", "err")
    shop.running.expect("^ValueError: no queue$", "err")
    assert shop.running.err.count("ValueError: no queue") == 1


def test_children_of_a_worker_leave_its_row(shop: Watched) -> None:
    shop.get("/forks")
    assert agents(shop).get('shop_calls_total{path="/fork"}', 0) == 0


def test_threads_lose_no_count(shop: Watched) -> None:
    shop.get("/threads")
    assert agents(shop)['shop_calls_total{path="/thread"}'] == 80_000


def test_a_cleared_gauge_is_shown_no_longer(shop: Watched) -> None:
    pids = shop.pids(2)
    each(shop, "/stock", pids)
    assert agents(shop)['shop_stock{thing="apple"}'] == 5
    each(shop, "/clear", pids)
    assert 'shop_stock{thing="apple"}' not in agents(shop)
    assert 'shop_stock{thing="apple"}' not in own(shop)


def test_processes_that_import_alone_share_totals(start: Start) -> None:
    write(start, "shop.py", SHOP)
    run = Run(start, "shop:app", "-w", "2", "--no-preload")
    run.ready()
    for _ in range(10):
        run.get("/alone")
    found = samples(run.get("/metrics").decode())
    assert found['shop_calls_total{path="/alone"}'] == 10
    assert found["shop_build"] == 2
    assert run.stop() == 0


LATE = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        from late import CALLS, generate_latest
        CALLS.inc()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": generate_latest()})
"""


def test_an_import_in_running_workers_shares_totals(start: Start) -> None:
    write(
        start, "late.py", "from prometheus_client import Counter, generate_latest\nCALLS = Counter('shop_calls', '')\n"
    )
    write(start, "shop.py", LATE)
    run = Run(start, "shop:app", "-w", "2")
    run.ready()
    assert [samples(run.get().decode())["shop_calls_total"] for _ in range(10)] == [*range(1, 11)]
    assert run.stop() == 0


def test_prometheus_own_directory_is_left_alone(start: Start) -> None:
    write(start, "shop.py", SHOP)
    (start.directory / "files").mkdir()
    run = Run(start, "shop:app", "-w", "1", env={"PROMETHEUS_MULTIPROC_DIR": "files"})
    run.ready()
    run.get("/")
    assert any("PROMETHEUS_MULTIPROC_DIR is set: application metrics are left to" in line for line in run.running.err)
    assert any((start.directory / "files").iterdir())
    assert run.stop() == 0
