"""Who may ask: the names under which this address is reached, and pages of this origin.

A page of another site can make a browser connect to a loopback address, by a name of its own that it points there (DNS
rebinding). Such a request has that name as its host, so on loopback only loopback's names and addresses are accepted.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Guard:
    """An ASGI application that is reached only by names of its own address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 421 (misdirected)."""
        host = Headers(scope=scope).get("host", "")
        if may_ask(scope.get("server"), host):
            await self._app(scope, receive, send)
            return
        text = "on a loopback address this page is served as localhost, 127.0.0.1 or [::1] only\n"
        await PlainTextResponse(text, 421)(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Return whether a name or an address, without its port, means this machine alone."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """Return the name or address in a Host header, without the port; empty if it is malformed."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def may_ask(server: tuple[str, int | None] | None, host: str) -> bool:
    """Return whether a request may be served that came in at the address `server` with this Host header.

    A Unix socket has no such address: then it is the proxy in front of it that chooses the names.
    """
    if server is None or server[1] is None or not is_loopback(server[0]):
        return True
    return is_loopback(host_of(host))


def same_origin(origin: str | None, host: str) -> bool:
    """Return whether a command comes from a page of this origin, or from no browser: those send an Origin."""
    return origin is None or (bool(host) and urlsplit(origin).netloc.lower() == host.lower())
