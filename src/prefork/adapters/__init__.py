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
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .._errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from .._worker.handle import Worker

Application = Callable[..., Any]


@dataclass(frozen=True)
class ServerOptions:
    """What can be asked of every server; each leaves out what does not concern it. Times are in seconds."""

    keepalive_window: float = 1.0
    """How long a draining worker keeps silent connections, so that their next request is still answered."""
    threads: int = 8
    """WSGI: how many requests a worker works on at once."""
    lifespan: Literal["auto", "on", "off"] = "auto"
    """ASGI: whether the application is told of start and end; "auto" goes on without it where it is not understood."""
    root_path: str = ""
    """The path below which the application is mounted, as it is told to the application."""


class Server(Protocol):
    """What an adapter offers. Third parties register one under the entry point group `prefork.servers`."""

    @property
    def name(self) -> str:
        """What `--server` calls it."""

    @property
    def protocols(self) -> frozenset[str]:
        """What kinds of application it serves: `"asgi"`, `"wsgi"`."""

    @property
    def sharing(self) -> Literal["shared", "sharded"]:
        """How its listeners are shared among workers unless the user says otherwise."""

    def warm(self, application: Application, protocol: str, options: ServerOptions) -> None:
        """Import all that workers will need; called in the mold. Raises UsageError where the library is unfit."""

    def serve(
        self,
        worker: Worker[Any],
        listeners: list[socket.socket],
        application: Application,
        protocol: str,
        options: ServerOptions,
    ) -> None:
        """Serve in a worker, which is ready once it accepts, until it is to drain; return when it has drained."""


_OURS = ("granian", "hypercorn", "uvicorn", "waitress")
_GROUP = "prefork.servers"


def find(name: str | None, protocol: str) -> Server:
    """The server of this name, or the best one there is for `protocol` ("asgi" or "wsgi").

    Raises UsageError for a name that nobody offers, a server that is not installed (with what to install), or one
    that does not serve the protocol.
    """
    server = _best(protocol) if name is None else _named(name)
    if protocol not in server.protocols:
        raise UsageError(f"{server.name} serves {' and '.join(sorted(server.protocols))}, and this is {protocol}")
    return server


def _best(protocol: str) -> Server:
    if protocol == "asgi":
        return _ours("uvicorn")
    if protocol != "wsgi":
        raise UsageError(f"there is no server for {protocol!r} applications: they are 'asgi' or 'wsgi'")
    try:
        return _ours("granian")
    except UsageError:  # Not installed, or not one of the versions that its adapter knows.
        return _ours("waitress")


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
