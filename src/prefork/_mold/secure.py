"""How the server of an application is to speak TLS, checked with what the master has read for the plan."""

from __future__ import annotations

from collections.abc import Mapping

from .._errors import UsageError
from .._options.listed.tls import files
from .._options.table import Settings
from ..adapters import TLS, Server
from . import mold

Files = Mapping[str, int]
"""Descriptors of what the master has read, by option."""

_INSTEAD = "choose --server uvicorn, hypercorn or granian, or put a proxy such as nginx in front"


def refuse_other_files(settings: Settings, started: Mapping[str, str]) -> None:
    """Raise UsageError where the options name other files than at the start, which are those that the master reads."""
    if files(settings.values, settings.sources) != started:
        raise UsageError("tls_cert, tls_key or tls_ca names another file than at the start: restart the daemon")


def received() -> Files:
    """Return what the master has sent with its order for the plan that this mold computes."""
    return {} if mold.own is None else mold.own.files


def scheme(settings: Settings) -> str:
    """Return what is spoken at the addresses."""
    return "http" if settings["tls_cert"] is None else "https"


def spoken(settings: Settings, server: Server, read: Files | None) -> TLS | None:
    """Return how a server is to speak TLS, None for not at all. Raises UsageError where it cannot.

    `read`: None in a process that gets the answer with its order.
    """
    if read is None or settings["tls_cert"] is None:
        return None
    if not hasattr(server, "check_tls"):
        raise UsageError(f"tls_cert: {server.name} does not speak TLS: {_INSTEAD}")
    from ..adapters.web.tls import digest

    tls = TLS(settings["tls_client"], settings["tls_min_version"], settings["tls_ciphers"], digest(read))
    server.check_tls(tls, read)
    return tls
