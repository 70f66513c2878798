"""What a server cannot do, with the reason: such an option is refused at the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..._errors import UsageError

_NO_PINGS = "granian sends no pings"
_NO_WEBSOCKETS = "WSGI has no WebSockets"
_THREADS = "a WSGI worker handles as many requests as --threads allows, and the others wait unseen"
_NO_ACCEPT = "only uvicorn takes a connection whose first bytes are read"
_WSGI = {
    "proxy_protocol": _NO_ACCEPT,
    "limit_concurrency": _THREADS,
    "websocket_max_size": _NO_WEBSOCKETS,
    "websocket_ping_interval": _NO_WEBSOCKETS,
    "websocket_ping_timeout": _NO_WEBSOCKETS,
}
_TABLE: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("granian", "asgi"): {
        "proxy_protocol": _NO_ACCEPT,
        "websocket_max_size": "granian has a limit of its own (64 MB)",
        "websocket_ping_interval": _NO_PINGS,
        "websocket_ping_timeout": _NO_PINGS,
    },
    ("hypercorn", "asgi"): {
        "proxy_protocol": _NO_ACCEPT,
        "websocket_ping_timeout": "hypercorn waits for no answer to its pings",
    },
}


def lacking(server: str, protocol: str) -> Mapping[str, str]:
    """Return the options that this server cannot do for an application of this protocol, each with the reason."""
    return _TABLE.get((server, protocol), {}) if protocol == "asgi" else _WSGI


class _Settings(Protocol):
    def __getitem__(self, name: str) -> Any: ...

    def source(self, name: str) -> str: ...


def refuse(server: str, protocol: str, settings: _Settings) -> None:
    """Raise UsageError for an option that the server cannot do, unless its value asks for nothing."""
    for name, reason in lacking(server, protocol).items():
        if settings[name]:
            raise UsageError(f"{settings.source(name)}: {reason}; leave it out, or choose another server")
    if settings["proxy_protocol"] and settings["tls_cert"]:
        raise UsageError(
            f"{settings.source('proxy_protocol')}: its header would come before TLS; let the proxy end TLS"
        )
