"""Servers on prefork's sockets, each optional, found by name or protocol.

An adapter is a module (or any object) with the names of `Server`. The mold finds it, calls `warm`, and only then forks;
a worker calls `serve`, which returns when the worker has drained:

    server = adapters.find("uvicorn", "asgi")                # in the mold
    server.warm(application, "asgi", options)                # every import that the workers will need
    server.serve(worker, [worker.listener("http")], application, "asgi", options)      # in each worker

Other distributions offer theirs under the entry point group `prefork.servers`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .._errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from .._worker.handle import Worker

Application = Callable[..., Any]

LOOPBACK = ("127.0.0.0/8", "::1")
"""The proxies that are trusted by default."""

_LATER = 1.0
"""Seconds by which a worker closes an idle connection later than a proxy that keeps it for as long."""


@dataclass(frozen=True)
class TLS:
    """How a server speaks TLS. Certificate and key come to each worker from the master, by descriptor."""

    client: Literal["none", "optional", "required"] = "none"
    """Whether a client is asked for a certificate, and whether it must have one."""
    min_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str | None = None
    """Ciphers of TLS 1.2, as OpenSSL writes them; None for the default ones."""
    digest: str = ""
    """Of certificate, key, password and authorities: other ones replace the workers."""


@dataclass(frozen=True)
class ServerOptions:
    """Options for every server; each ignores those that do not concern it. Times are in seconds."""

    keepalive_window: float = 1.0
    """How long a draining worker keeps silent connections, so that their next request is still answered."""
    threads: int = 8
    """WSGI: how many requests a worker handles at once."""
    lifespan: Literal["auto", "on", "off"] = "auto"
    """ASGI: whether to run the application's lifespan; "auto" does so where the application supports it."""
    loop: Literal["auto", "asyncio", "uvloop"] = "auto"
    """ASGI: the event loop; "auto" is uvloop where it is installed, except on hypercorn."""
    root_path: str = ""
    """The path below which a proxy serves the application (ASGI `root_path`, WSGI `SCRIPT_NAME`)."""
    proxy_protocol: bool = False
    """Whether these proxies send the header of the PROXY protocol, version 1 or 2, with each connection (uvicorn)."""
    keep_alive: float = 75.0
    """How long a connection stays open without a request: longer than the 60 seconds of common balancers."""
    backlog: int = 2048
    """The longest queue of a Unix socket, for a server that calls listen(2) again; that of a port is read there."""
    header_timeout: float = 0.0
    """How long a client may take for a request's headers once it has begun (uvicorn); 0 is no limit."""
    limit_request_line: int = 0
    """The most bytes of a request line; 0, here and below, is the server's own limit, or none."""
    limit_request_headers: int = 0
    """The most bytes of a request's headers together."""
    limit_request_body: int = 0
    """The most bytes of a request's body."""
    limit_concurrency: int = 0
    """ASGI: the most requests and WebSockets that a worker has in flight; others are answered 503."""
    websocket_max_size: int = 0
    """The most bytes of a message."""
    websocket_ping_interval: float = 0.0
    """How often a WebSocket is pinged."""
    websocket_ping_timeout: float = 0.0
    """How long the answer to a ping may take."""
    forwarded_allow_ips: tuple[str, ...] = LOOPBACK
    """Addresses and networks of the proxies whose headers are believed; `*`: all. Unix sockets always are."""
    access_log: str = ""
    """The path of the access log, `-` for standard output; empty: there is none."""
    access_log_format: str = "combined"
    """The format of its lines: a name, or a template."""
    tls: TLS | None = None
    """TLS on all listeners, for a server with `check_tls`; None for plain connections."""

    @property
    def idle_timeout(self) -> float:
        """Seconds after which a connection without a request is closed.

        A proxy counts from the response that it has received, so that with the same time it would send a request, and
        answer 502, while the worker closes.
        """
        return self.keep_alive + _LATER


class Server(Protocol):
    """The interface of an adapter. Third parties register theirs under the entry point group `prefork.servers`."""

    @property
    def name(self) -> str:
        """The name for `--server`."""

    @property
    def protocols(self) -> frozenset[str]:
        """The interfaces of the applications that it serves: `"asgi"`, `"wsgi"`."""

    @property
    def sharing(self) -> Literal["shared", "sharded"]:
        """The default of `Listener.sharing` for its listeners."""

    def warm(self, application: Application, protocol: str, options: ServerOptions) -> None:
        """Import all that workers need; called in the mold. Raises UsageError for an unsuitable library version."""

    def check_tls(self, tls: TLS, files: Mapping[str, int]) -> None:
        """Raise UsageError where it cannot speak TLS with these options and files; called in the mold.

        A server without this method does not speak TLS. `files`: see `web.tls`.
        """

    # `serves_again`, where it is true: `serve` may be called twice in a process, and returns within moments when the
    # worker drains and no connection is open. A spare that is kept serves an application of prefork's first.

    def serve(
        self,
        worker: Worker[Any],
        listeners: list[socket.socket],
        application: Application,
        protocol: str,
        options: ServerOptions,
    ) -> None:
        """Serve in a worker, and call `worker.ready()` once it accepts; return when the worker has drained."""


_OURS = ("granian", "hypercorn", "uvicorn", "waitress")
_GROUP = "prefork.servers"


def find(name: str | None, protocol: str) -> Server:
    """Return the server of this name, or the default for `protocol` ("asgi" or "wsgi").

    Without a name: uvicorn for ASGI; waitress for WSGI, or granian where waitress is not installed. Raises UsageError
    for an unknown name, a server that is not installed, or one that does not serve the protocol.
    """
    server = _best(protocol) if name is None else _named(name)
    if protocol not in server.protocols:
        served = " and ".join(sorted(server.protocols))
        raise UsageError(f"the server {server.name} serves {served} applications, not {protocol}; choose another")
    return server


def _best(protocol: str) -> Server:
    if protocol == "asgi":
        return _ours("uvicorn")
    if protocol != "wsgi":
        raise UsageError(f"no server for {protocol!r} applications: give 'asgi' or 'wsgi'")
    try:
        return _ours("waitress")
    except UsageError as missing:
        try:
            return _ours("granian")
        except UsageError:  # Not installed, or not a version that its adapter knows.
            raise missing from None


def _named(name: str) -> Server:
    if name in _OURS:
        return _ours(name)
    from importlib.metadata import entry_points

    others = entry_points(group=_GROUP)
    if name in others.names:
        server: Server = others[name].load()
        return server
    known = sorted({*_OURS, *others.names})
    hint = did_you_mean(name, known) or f": the servers are {', '.join(known)}"
    raise UsageError(f"there is no server {name!r}{hint}")


def _ours(name: str) -> Server:
    try:
        server: Any = import_module(f".{name}", __name__)
    except ModuleNotFoundError as error:
        raise UsageError(f"the server {name} is not installed ({error}): pip install 'prefork[{name}]'") from None
    return server  # type: ignore[no-any-return]
