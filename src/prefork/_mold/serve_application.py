"""A `Daemon` made for an application: a pool of workers of one kind.

The options are read again at each plan, so that a reload applies changes of `prefork.toml`. Those of the server travel
in the worker's context: a changed one replaces the workers, and a spare forked before it can be used after it.
"""

from __future__ import annotations

import gc
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from .. import adapters
from .._context import WorkerContext
from .._errors import UsageError
from .._linux.address import parse, split
from .._listener import Listener
from .._options.listed.connections import OF_SERVERS
from .._options.listed.proxies import trusted_networks
from .._options.records import KindOptions
from .._options.table import Settings
from .._worker.handle import Worker
from ..adapters import ServerOptions
from ..adapters.web import layers
from ..adapters.web.lacking import refuse
from ..daemon import Daemon, Plan, Pool
from .agent.planned import add_agent
from .daemon_application import DaemonApplication
from .processors import usable
from .recognise import Recognised, refuse_application
from .secure import Files, received, scheme, spoken
from .warming import stand_in
from .watching import loaded

if TYPE_CHECKING:
    from .._wire.messages import Json
    from .._worker.assignment import Assignment
    from .warming.warm import WarmUp

ROOM_TO_GROW = 64
"""Workers, at least, to which the pool can be scaled without another plan."""

DRAIN_TIMEOUT_IN_DEVELOPMENT = 1.0
"""Seconds, the default under --reload: an open event stream of a browser would delay each reload by half a minute."""


_WINDOW = 1 / 8
"""Of the drain's time, the most for which idle connections stay open: requests may be cut at half of it, and at a stop
the queue is served for a quarter of a second before."""


@dataclass(frozen=True)
class Web(WorkerContext, kind="web"):
    """A worker that serves an ASGI or WSGI application."""

    id: int
    server: str = field(compare=False)
    protocol: str = field(compare=False)
    listeners: tuple[str, ...] = field(compare=False)
    options: ServerOptions = field(compare=False)


@dataclass(frozen=True)
class Work(WorkerContext, kind="worker"):
    """A worker that is a plain function."""

    id: int


class ServedApplication:
    """The mold's view of it (see `_mold.mold.Application`): each plan makes a new daemon."""

    def __init__(self, recognised: Recognised, read: Callable[[], Settings]) -> None:
        self._recognised = recognised
        self._read = read
        self._made: DaemonApplication | None = None
        self._server: str | None = None

    def plan(self) -> Json:
        """Read the options, and compute their plan."""
        options = self._read()
        with _uncollected():
            self._made = self._application(options, received())
        plan = self._made.plan()
        assert isinstance(plan, dict)
        watched = os.path.abspath(options.file) if options["reload"] and options.file else None
        return {**plan, "about": _about(self._recognised, options), "watched": watched}

    def warming(self) -> WarmUp | None:
        """Return the requests that the operator wants, for an application."""
        settings = self._read()
        if not settings["warm"]:
            return None
        from .warming.urls import of_urls

        return of_urls(self._recognised, settings)

    def before_fork(self) -> None:
        """Do nothing."""

    def rehearsal(self, key: str, context: Json) -> Callable[[Assignment], None]:
        """Return a function that takes a worker's steps without the server's and the application's."""
        assert self._made is not None
        return self._made.rehearsal(key, context)

    def rehearsal_of_spare(self, key: str, context: Json) -> Callable[[Assignment], None]:
        """Return a function that takes a worker's steps, those of its server included, without the application's."""
        assert self._made is not None
        protocol = self._recognised.what
        if protocol != "asgi" or not stand_in.can_rehearse(adapters.find(self._server, protocol)):
            return self._made.rehearsal(key, context)
        return partial(self._made.stage, stand_in.serve)

    def worker(self, key: str, context: Json) -> Callable[[Assignment], None]:
        """Return the function of the worker that this encoded context describes."""
        if self._made is None:  # In an interpreter of its own, which computes no plan.
            self._made = self._application(self._read())
        return self._made.worker(key, context)

    def _application(self, settings: Settings, files: Files | None = None) -> DaemonApplication:
        self._server = settings["server"]
        looping = (Web._kind,) if self._recognised.what == "asgi" else ()
        return DaemonApplication(daemon_of(self._recognised, settings, files), looping)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector off while the server is imported: a full turn visits all that the application holds."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def daemon_of(recognised: Recognised, settings: Settings, files: Files | None = None) -> Daemon:
    """Return the daemon that serves an application. Raises UsageError for options that do not fit it.

    `files`: what the master has read, None where it was checked before.
    """
    spares = settings["spares"] if settings["preload"] else 0
    daemon = Daemon(settings["name"], listeners=_listeners(recognised, settings), spares=spares)
    kind = settings.given_for(KindOptions)
    if not settings["preload"]:
        kind["spawn"] = "exec"
    if settings["reload"]:
        kind.setdefault("drain_timeout", DRAIN_TIMEOUT_IN_DEVELOPMENT)
    if recognised.what == "function":
        if settings["warm"]:
            raise UsageError(
                f"{settings.source('warm')}: {settings['target']} is a worker's function, which has no URLs"
            )
        daemon.worker(Work, **kind)(_function(recognised))
        make: Callable[[int], WorkerContext] = Work
    else:
        make = _served(daemon, recognised, settings, {**kind, "ready": "explicit"}, files)
    workers = usable() if settings["workers"] == "auto" else settings["workers"]
    pool = Pool(make, workers, max=max(4 * workers, ROOM_TO_GROW), default=True)
    daemon.plan(lambda: Plan([pool]))
    add_agent(daemon, settings)
    return daemon


def _function(recognised: Recognised) -> Callable[..., Any]:
    """Return the worker's function, which fails if it turns out to make an application."""
    function = recognised.application
    if inspect.iscoroutinefunction(function):
        return function  # type: ignore[no-any-return]

    def work(worker: Worker[Work]) -> None:
        refuse_application(function(worker), function)

    return work


def _served(
    daemon: Daemon, recognised: Recognised, settings: Settings, kind: dict[str, Any], files: Files | None
) -> Callable[[int], Web]:
    """Declare the workers that serve it; return the function that makes their contexts."""
    protocol = recognised.what
    server = adapters.find(settings["server"], protocol)
    options = ServerOptions(
        keepalive_window=min(settings["keepalive_window"], KindOptions(**kind).drain_timeout * _WINDOW),
        threads=settings["threads"],
        lifespan=settings["lifespan"],
        loop=settings["loop"],
        root_path=settings["root_path"] or "",
        **{name: settings[name] for name in OF_SERVERS},
        proxy_protocol=settings["proxy_protocol"],
        forwarded_allow_ips=trusted_networks(settings["forwarded_allow_ips"]) or adapters.LOOPBACK,
        access_log=_path(settings["access_log"]),
        access_log_format=settings["access_log_format"],
        tls=spoken(settings, server, files),
    )
    refuse(server.name, protocol, settings)
    server.warm(recognised.application, protocol, options)
    layers.warm(options)

    @daemon.worker(Web, **kind)
    def serve(worker: Worker[Web]) -> None:
        context = worker.context
        sockets = [worker._stream(name) for name in context.listeners]
        application = layers.around(recognised.application, context.protocol, context.options, worker)
        adapters.find(context.server, context.protocol).serve(
            worker, sockets, application, context.protocol, context.options
        )

    names = tuple(daemon.listeners)
    return lambda number: Web(number, server.name, protocol, names, options)


def _path(log: str | None) -> str:
    """Return the absolute path of a log that workers open, since an application may change its directory."""
    return os.path.abspath(log) if log and log != "-" else log or ""


def _listeners(recognised: Recognised, settings: Settings) -> dict[str, Listener]:
    """Return the listeners by name: the first is `http`, the name by which a worker's function accepts from it."""
    sharing: Literal["shared", "sharded"] = "shared"
    if recognised.what != "function":
        sharing = adapters.find(settings["server"], recognised.what).sharing
        for given in settings["bind"]:
            if parse(given).scheme == "udp":
                raise UsageError(f"--bind {given}: an application needs connections: use tcp:// or unix://")
    elif not settings.given("bind"):
        return {}
    found = {}
    for number, given in enumerate(dict.fromkeys(settings["bind"]), 1):
        address, options = split(given)
        options["sharing"] = sharing if parse(address).has_port else "shared"
        found[f"http-{number}" if number > 1 else "http"] = Listener(address, backlog=settings["backlog"], **options)
    return found


def _about(recognised: Recognised, settings: Settings) -> dict[str, Json]:
    """Return the description for people."""
    about: dict[str, Json] = {"application": recognised.words}
    if settings["reload"]:
        about["outdated"] = next(loaded.outdated(), "")
    if recognised.what != "function":
        server = adapters.find(settings["server"], recognised.what).name
        library = sys.modules.get(server)
        about |= {"server": f"{server} {getattr(library, '__version__', '')}".rstrip(), "web": scheme(settings)}
    return about
