"""What an application is taken for, by how it wants to be called."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import prefork
from prefork import UsageError
from prefork._mold.recognise import recognise


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


def plain_asgi(scope: Any, receive: Any, send: Any) -> Any:
    return asgi(scope, receive, send)


def wsgi(environ: Any, start_response: Any) -> Any: ...


async def async_wsgi(environ: Any, start_response: Any) -> Any: ...


class AsyncWsgi:
    async def __call__(self, environ: Any, start_response: Any) -> Any: ...


def wsgi_with_more(environ: Any, start_response: Any, more: int = 0) -> Any: ...


class AsgiApplication:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class WsgiApplication:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class SetOnTheInstance:
    __slots__ = ("__call__",)

    def __init__(self) -> None:
        self.__call__ = asgi


@functools.wraps(asgi)
def decorated(*args: Any, **kwargs: Any) -> Any:
    return asgi(*args, **kwargs)


def worker_function(worker: Any) -> None: ...


async def async_worker_function(worker: Any) -> None: ...


class OnRequest:
    def __call__(self, request: Any) -> Any: ...


def create_asgi() -> Any:
    return AsgiApplication()


def create_wsgi(config: Any = None, **options: Any) -> Any:
    return WsgiApplication()


async def create_async() -> Any: ...


daemon = prefork.Daemon("shop")


@pytest.mark.parametrize(
    ("found", "what", "words"),
    [
        (asgi, "asgi", "ASGI function"),
        (plain_asgi, "asgi", "ASGI function"),
        (decorated, "asgi", "ASGI function"),
        (functools.partial(asgi), "asgi", "ASGI application (functools.partial)"),
        (AsgiApplication(), "asgi", f"ASGI application ({__name__.partition('.')[0]}.AsgiApplication)"),
        (SetOnTheInstance(), "asgi", f"ASGI application ({__name__.partition('.')[0]}.SetOnTheInstance)"),
        (wsgi, "wsgi", "WSGI function"),
        (wsgi_with_more, "wsgi", "WSGI function"),
        (WsgiApplication(), "wsgi", f"WSGI application ({__name__.partition('.')[0]}.WsgiApplication)"),
        (worker_function, "function", "function worker_function"),
        (async_worker_function, "function", "function async_worker_function"),
        (daemon, "daemon", "Daemon"),
    ],
)
def test_what_it_is_is_told_from_how_it_is_called(found: Any, what: str, words: str) -> None:
    recognised = recognise(found, "shop:app")
    assert (recognised.what, recognised.words) == (what, words)
    assert recognised.application is found


@pytest.mark.parametrize(
    ("factory", "what", "of"),
    [
        (create_asgi, "asgi", AsgiApplication),
        (create_wsgi, "wsgi", WsgiApplication),
        (AsgiApplication, "asgi", AsgiApplication),
        (lambda: daemon, "daemon", prefork.Daemon),
    ],
)
def test_a_factory_is_called(factory: Any, what: str, of: type) -> None:
    recognised = recognise(factory, "shop:create_app")
    assert recognised.what == what
    assert isinstance(recognised.application, of)
    assert recognised.words.endswith(", made by shop:create_app()")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (7, "shop:app is an int, which cannot be called: an application takes (scope, receive, send)"),
        (None, "shop:app is a NoneType, which cannot be called"),
        (lambda a, b, c, d: None, "shop:app takes 4 arguments: an application takes (scope, receive, send)"),
        (OnRequest(), "shop:app takes one argument: an application takes (scope, receive, send)"),
        (lambda *args: None, "shop:app hides its arguments: give --interface asgi or --interface wsgi"),
        (lambda: 7, "what shop:app() returns is an int, which cannot be called"),
        (lambda: create_asgi, "what shop:app() returns is a function, which is no application"),
        (async_wsgi, "shop:app is a coroutine function that takes 2 arguments: an application takes (scope"),
        (AsyncWsgi(), "shop:app is a coroutine function that takes 2 arguments: an application takes (scope"),
        (create_async, "shop:app is a coroutine function: a factory has to return the application itself"),
    ],
)
def test_what_is_no_application_is_refused(found: Any, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        recognise(found, "shop:app")
    assert str(refused.value).startswith(why)


def create_app(config: Any) -> Any: ...


def make_wsgi_app(config: Any, debug: bool) -> Any: ...


async def app_factory(settings: Any) -> Any: ...


def get_app(environ: Any, start_response: Any) -> Any: ...


def snap(worker: Any) -> None: ...


@pytest.mark.parametrize(
    ("found", "call"),
    [
        (create_app, "create_app(config)"),
        (make_wsgi_app, "make_wsgi_app(config, debug)"),
        (app_factory, "app_factory(settings)"),
    ],
)
def test_a_factory_with_parameters_is_refused(found: Any, call: str) -> None:
    with pytest.raises(
        UsageError, match="is an application factory, which is called without arguments: give"
    ) as refused:
        recognise(found, f"shop:{found.__name__}")
    assert str(refused.value).startswith(f"shop:{call} is an")


def test_a_factorys_name_is_not_enough() -> None:
    assert recognise(get_app, "shop:get_app").what == "wsgi"
    assert recognise(snap, "shop:snap").what == "function"


def test_what_cannot_be_told_can_be_said() -> None:
    def anything(*args: Any) -> None: ...

    assert recognise(anything, "shop:app", "asgi").what == "asgi"
    assert recognise(anything, "shop:app", "wsgi").what == "wsgi"
    assert recognise(daemon, "shop:app", "wsgi").what == "daemon"


def test_what_a_factory_raises_is_its_own() -> None:
    def create_app() -> None:
        raise RuntimeError("no database")

    with pytest.raises(RuntimeError, match="no database"):
        recognise(create_app, "shop:create_app")
