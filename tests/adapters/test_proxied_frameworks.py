"""Django and Starlette behind a proxy that ends TLS, below a path: redirects, links and streams are the same."""

from __future__ import annotations

import http.client

import pytest

from adapters.served import SERVERS
from support import PATIENCE, Start
from system.runs import Run, write

DJANGO = """
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path, reverse

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["shop.example"],
    SECRET_KEY="for a test",
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware"],
    SECURE_SSL_REDIRECT=True,
)

def page(request):
    return HttpResponse(" ".join([request.build_absolute_uri(), reverse("page"), request.META["REMOTE_ADDR"]]))

def stream(request):
    return StreamingHttpResponse(PIECES)

urlpatterns = [path("page", page, name="page"), path("stream", stream)]
"""
WSGI = DJANGO + "PIECES = [b'one ', b'two ', b'three']\napp = get_wsgi_application()\n"
ASGI = (
    DJANGO
    + """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

async def star(request):
    return PlainTextResponse(f"{request.url} {request.url_for('star')} {request.client.host}")

class Pieces:
    async def __aiter__(self):
        for piece in "one ", "two ", "three":
            yield piece

PIECES = Pieces()

async def streamed(request):
    return StreamingResponse(PIECES)

routes = [Route("/star", star, name="star"), Route("/stream", streamed)]
starlette = Starlette(routes=[Mount("/sub", routes=routes)], lifespan=None)
starlette.router.routes[0].name = None
django = get_asgi_application()

async def app(scope, receive, send):
    await (starlette if "/sub/" in scope.get("path", "/sub/") else django)(scope, receive, send)
"""
)
SECURE = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}


def get(run: Run, path: str, **headers: str) -> tuple[int, str]:
    """Return the status, and the text or the place of a redirection."""
    client = http.client.HTTPConnection("127.0.0.1", run.port, timeout=PATIENCE)
    client.request("GET", path, headers={"Host": "shop.example", **headers})
    answer = client.getresponse()
    text = answer.read().decode()
    client.close()
    return answer.status, answer.headers.get("Location", text)


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_frameworks_redirect_and_link_by_what_the_proxy_says(start: Start, server: tuple[str, str]) -> None:
    write(start, "behind.py", ASGI if server[1] == "asgi" else WSGI)
    run = Run(start, "behind:app", "--server", server[0], "-w", "1", "--root-path", "/shop")
    run.ready()
    there = "https://shop.example/shop/page"
    for path in "/page", "/shop/page":  # Whether or not the proxy removes it.
        assert get(run, path) == (301, there)
        assert get(run, path, **SECURE) == (200, f"{there} /shop/page 203.0.113.9")
    assert get(run, "/stream", **SECURE) == (200, "one two three")
    if server[1] == "asgi":
        there = "https://shop.example/shop/sub/star"
        for path in "/sub/star", "/shop/sub/star":
            assert get(run, path, **SECURE) == (200, f"{there} {there} 203.0.113.9")
        assert get(run, "/sub/stream") == (200, "one two three")
    assert run.running.stop() == 0


def test_only_proxies_that_an_option_names_are_trusted(start: Start) -> None:
    write(start, "behind.py", WSGI)
    trusted = {"FORWARDED_ALLOW_IPS": "127.0.0.1"}
    run = Run(start, "behind:app", "-w", "1", "--forwarded-allow-ips", "10.0.0.0/8, 10.1.0.1", env=trusted)
    run.ready()
    assert get(run, "/page", **SECURE) == (301, "https://shop.example/page")
    assert run.running.stop() == 0
