"""A request that warms an application up: a URL, taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

MARK = "prefork.warming"
"""In the environ of WSGI, and in the extensions of an ASGI scope: by this the application knows such a request."""
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Request:
    """A URL, taken apart; `host` is that of the header."""

    scheme: str
    host: str
    server: str
    port: int
    raw_path: bytes
    query: bytes

    @property
    def path(self) -> bytes:
        """The path, decoded."""
        return unquote_to_bytes(self.raw_path)


def parsed(url: str) -> Request:
    """Return the request for a URL; a path alone is asked of http://localhost. Raises ValueError."""
    parts = urlsplit(url if not url.startswith("/") else f"http://localhost{url}")
    server, port = parts.hostname or "localhost", parts.port or _PORTS[parts.scheme]
    path = (parts.path or "/").encode("ascii", "surrogateescape") if parts.path.isascii() else parts.path.encode()
    return Request(parts.scheme, parts.netloc.rpartition("@")[2], server, port, path, parts.query.encode())
