"""Applications as their frameworks' own documents show them, run unchanged."""

from __future__ import annotations

import httpx
import pytest
from websockets.sync.client import connect

from prefork.testing import Server, live_server
from support import PATIENCE, Start
from system.runs import ASGI, WSGI, Run, write

FASTAPI = """
import asyncio, os
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse

app = FastAPI()

@app.get("/")
def root():
    return {"pid": os.getpid()}

@app.websocket("/echo")
async def echo(websocket: WebSocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text.upper())

@app.get("/events")
async def events():
    async def each():
        for number in range(3):
            yield f"data: {number}\\n\\n"
            await asyncio.sleep(0)
    return StreamingResponse(each(), media_type="text/event-stream")
"""

FLASK = """
import os
from flask import Flask

def create_app(config=None):
    app = Flask(__name__)

    @app.get("/")
    def root():
        return {"pid": os.getpid()}

    return app
"""

DJANGO = """
import os
import django
from django.conf import settings
from django.http import JsonResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="for a test")
urlpatterns = [path("", lambda request: JsonResponse({"pid": os.getpid()}))]
"""
DJANGO_ASGI = "from . import settings\nfrom django.core.asgi import get_asgi_application as get\napplication = get()\n"
DJANGO_WSGI = "from . import settings\nfrom django.core.wsgi import get_wsgi_application as get\napplication = get()\n"


def written(start: Start) -> None:
    write(start, "quick.py", FASTAPI)
    write(start, "shop/__init__.py", FLASK)
    write(start, "site1/__init__.py", "")
    write(start, "site1/settings.py", DJANGO)
    write(start, "site1/asgi.py", DJANGO_ASGI)
    write(start, "site1/wsgi.py", DJANGO_WSGI)


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("shop:create_app", "WSGI application (flask.Flask), made by shop:create_app() on "),
        ("site1.asgi", "ASGI application (django.ASGIHandler) on uvicorn "),
        ("site1/wsgi.py:application", "WSGI application (django.WSGIHandler) on "),
    ],
)
def test_frameworks_run_unchanged_on_two_workers(start: Start, target: str, what: str) -> None:
    written(start)
    with live_server(target, workers=2, chdir=str(start.directory)) as server:
        assert f": ready ({what}" in server.log
        assert f", workers: 2 web, {server.url})" in server.log
        assert httpx.get(server.url, timeout=PATIENCE).json()["pid"] in pids(server)


def pids(server: Server) -> list[int]:
    return [slot["pid"] or 0 for slot in server.status()["slots"]]


def test_websockets_and_events_through_real_clients(start: Start) -> None:
    written(start)
    with live_server("quick:app", workers=2, chdir=str(start.directory)) as server:
        assert ": ready (ASGI application (fastapi.FastAPI) on uvicorn " in server.log
        assert httpx.get(server.url, timeout=PATIENCE).json()["pid"] in pids(server)
        with connect(f"ws://127.0.0.1:{server.port}/echo", open_timeout=PATIENCE) as websocket:
            websocket.send("hello")
            assert websocket.recv(timeout=PATIENCE) == "HELLO"
        with httpx.stream("GET", f"{server.url}/events", timeout=PATIENCE) as answer:
            assert [line for line in answer.iter_lines() if line] == ["data: 0", "data: 1", "data: 2"]


@pytest.mark.parametrize(
    ("source", "server"),
    [(ASGI, "hypercorn"), (WSGI, "granian"), (WSGI, "waitress")],
)
def test_the_server_can_be_chosen(start: Start, source: str, server: str) -> None:
    """How each serves is in `adapters/test_serving.py`."""
    write(start, "shop.py", source)
    run = Run(start, "shop", "-w", "2", "--server", server)
    assert f" on {server}" in run.ready()
    run.pids(2)
    assert run.stop() == 0
