"""The first 100 requests of fresh workers after a reload, with the mold warmed by all URLs, without, and unshared.

    python bench/warm.py [--workers N] [side ...]

A Django application (templates, forms, a database of SQLite, 280 URLs, 100,000 records in memory) is served by four
or N workers, and reloaded. A client sends one request after another, each on a new connection, until each new worker
has answered 100. `p99`, `p50`: processor time of a request in the application. `private`: a worker's memory after that.
`reload`: seconds from the signal to the outcome. `unshared`: --no-preload. Run it by an interpreter that has django,
granian, uvicorn and waitress; `immortal` is left out where the interpreter has it not. Takes some two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from prefork._worker.immortal.support import unsupported

FIRST, PATIENCE = 100, 60.0
MOST = 500
"""Requests for each worker until all should have answered FIRST."""
SECTIONS = 70
URLS = [f"/{section}/{page}/" for section in range(SECTIONS) for page in ("list", "detail", "form", "search")]
SERVERS = ["granian", "waitress", "uvicorn"]
MODES = ["unshared", "freeze", "freeze, warm", "immortal", "immortal, warm"]

APPLICATION = '''
import json, os, random, sys, time
from django.conf import settings
SECTIONS = range(70)
BASE = "<html><h1>{% block title %}{% endblock %}</h1>{% block body %}{% endblock %}</html>"
PAGE = """{% extends "base.html" %}{% block title %}NAME{% endblock %}{% block body %}
{% for each in things %}{% if each.amount > 3 %}
<p>{{ each.name|upper|truncatechars:12 }} {{ each.amount|floatformat:2 }}</p>
{% else %}<i>{{ forloop.counter }} {{ each.made|date:"Y-m-d" }}</i>{% endif %}{% endfor %}
{{ form.as_p }}{% with total=things|length %}{{ total }}{% endwith %}{% endblock %}"""
PAGES = {f"{n}/{what}.html": PAGE.replace("NAME", f"{what} {n}")
         for n in SECTIONS for what in ("list", "detail", "form", "search")}
settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="k", USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db", "CONN_MAX_AGE": None}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": [
        ("django.template.loaders.cached.Loader", [
            ("django.template.loaders.locmem.Loader", {"base.html": BASE, **PAGES})])]}}],
)
import django
django.setup()
from django import forms
from django.db import connection, models
from django.db.models import Avg, Count, Q
from django.shortcuts import render
from django.urls import path
from django.utils import timezone

def model(n):
    members = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "shop"}),
               "name": models.CharField(max_length=40), "amount": models.FloatField(), "made": models.DateTimeField()}
    return type(f"Thing{n}", (models.Model,), members)

MODELS = [model(n) for n in range(20)]
FORMS = [forms.modelform_factory(each, fields=["name", "amount", "made"]) for each in MODELS]
RECORDS = [{"id": n, "name": f"record {n}", "tags": [str(n), str(n % 7)]} for n in range(100_000)]

def view(n, what):
    thing, form = MODELS[n % 20], FORMS[n % 20]
    def show(request):
        things = thing.objects.all()
        if what == "search":
            things = things.filter(Q(name__contains=str(n % 10)) | Q(amount__gt=5)).order_by("-amount")
        elif what == "detail":
            things.aggregate(Avg("amount"), Count("id"))
            things = things.filter(amount__gte=n % 5).order_by("name", "-made")
        found = sum(len(RECORDS[(n * 1000 + each) % 100_000]["name"]) for each in range(1000))
        filled = form({"name": f"n{found}", "amount": "x", "made": "2026-01-01"}) if what == "form" else None
        if filled:
            filled.is_valid()
        return render(request, f"{n}/{what}.html", {"things": list(things[:10]), "form": filled})
    return show

urlpatterns = [path(f"{n}/{what}/", view(n, what)) for n in SECTIONS for what in ("list", "detail", "form", "search")]

def make():
    with connection.schema_editor() as editor:
        for each in MODELS:
            editor.create_model(each)

    for each in MODELS:
        each.objects.bulk_create(each(name=f"thing {n}", amount=n / 3, made=timezone.now()) for n in range(30))

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
inner_wsgi, inner_asgi = get_wsgi_application(), get_asgi_application()

def wsgi(environ, start_response):
    begun = time.process_time()
    def starting(status, headers, *more):
        spent = f"{time.process_time() - begun:.6f}"
        return start_response(status, [*headers, ("x-pid", str(os.getpid())), ("x-spent", spent)], *more)
    return inner_wsgi(environ, starting)

async def asgi(scope, receive, send):
    begun = time.process_time()
    async def sending(message):
        if message["type"] == "http.response.start":
            spent = f"{time.process_time() - begun:.6f}"
            more = [(b"x-pid", str(os.getpid()).encode()), (b"x-spent", spent.encode())]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)
    if scope["type"] == "http":
        await inner_asgi(scope, receive, sending)
'''


@dataclass
class Seen:
    """What the first requests of the new workers cost."""

    spent: dict[int, list[float]]
    private: list[float]
    reload: float

    def row(self, side: str) -> str:
        """Return a line of the table."""
        times = sorted(each for one in self.spent.values() for each in one)
        p99, p50 = times[int(len(times) * 0.99)] * 1000, statistics.median(times) * 1000
        figures = (p99, p50, statistics.mean(self.private), self.reload)
        return f"| {side} | {' | '.join(f'{each:.1f}' for each in figures)} | {len(times)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides = [f"{server}, {mode}" for server in SERVERS for mode in MODES]
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("sides", nargs="*", default=sides)
    arguments = parser.parse_args()
    workers, load = arguments.workers, os.getloadavg()[0]
    print(f"Python {sys.version.split()[0]}, load {load:.1f}, {workers} workers, {len(URLS)} URLs\n")
    print("| side | p99 ms | p50 ms | private MB | reload s | requests |\n|---|---|---|---|---|---|")
    for side in arguments.sides:
        server, _, mode = side.partition(", ")
        if mode.startswith("immortal") and unsupported() is not None:
            continue
        with tempfile.TemporaryDirectory() as directory:
            print(measured(Path(directory), server, mode, workers).row(side), flush=True)


def measured(directory: Path, server: str, mode: str, workers: int) -> Seen:
    """Serve the application in one mode, reload it, and send requests to the new workers."""
    (directory / "site_of_shop.py").write_text(APPLICATION)
    subprocess.run([sys.executable, "-c", "import site_of_shop; site_of_shop.make()"], cwd=directory, check=True)
    warm = f"warm = {json.dumps(URLS)}\nwarm_timeout = 60\n" if mode.endswith("warm") else ""
    (directory / "prefork.toml").write_text(f'name = "warm"\nlog_file = "log"\n{warm}')
    with served(directory, server, mode, workers) as (master, port):
        begun = time.monotonic()
        os.kill(master, signal.SIGHUP)
        wait_for(directory / "log", r"reload: done")
        reload = time.monotonic() - begun
        spent: dict[int, list[float]] = {}
        draw = random.Random(1)
        for _ in range(MOST * workers):
            pid, cost = request(port, draw.choice(URLS))
            spent.setdefault(pid, []).append(cost)
            if len(spent) == workers and min(map(len, spent.values())) >= FIRST:
                break
        return Seen({pid: times[:FIRST] for pid, times in spent.items()}, [private(pid) for pid in spent], reload)


@contextmanager
def served(directory: Path, server: str, mode: str, workers: int) -> Iterator[tuple[int, int]]:
    """Run the daemon; yield its master's pid and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target = "site_of_shop:asgi" if server == "uvicorn" else "site_of_shop:wsgi"
    sharing = ["--no-preload"] if mode == "unshared" else ["--share", mode.partition(",")[0]]
    command = [sys.executable, "-m", "prefork", "run", target, "-w", str(workers), "-b", f"127.0.0.1:{port}"]
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(directory / "run")}
    options = ["--server", server, "--lifespan", "off"]
    master = subprocess.Popen([*command, *options, *sharing], cwd=directory, env=environ, stdout=subprocess.DEVNULL)
    try:
        wait_for(directory / "log", r": ready \(")
        yield master.pid, port
    finally:
        master.terminate()
        master.wait(PATIENCE)


def wait_for(log: Path, pattern: str) -> None:
    """Wait until the log has a line."""
    end = time.monotonic() + PATIENCE
    while not (log.exists() and re.search(pattern, log.read_text())):
        if time.monotonic() > end:
            raise SystemExit(f"no {pattern!r} in the log:\n{log.read_text() if log.exists() else ''}")
        time.sleep(0.02)


def request(port: int, path: str) -> tuple[int, float]:
    """Return which worker has answered, and its processor time in seconds."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path} answered {answer.status}")
    return int(answer.headers["x-pid"]), float(answer.headers["x-spent"])


def private(pid: int) -> float:
    """Return the private memory of a process in MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(map(int, re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))) / 1024


if __name__ == "__main__":
    main()
