"""The URLs that warm an application up."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_url(text: str) -> bool:
    """Return whether a text is a path, or a URL of http or https with a host, without blanks and control characters."""
    if not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        return (text.startswith("/") and not parts.netloc) or _is_whole(parts.scheme, parts.hostname, parts.port)
    except ValueError:  # Its port is none, or a bracket is missing.
        return False


def _is_whole(scheme: str, host: str | None, _port: int | None) -> bool:
    return scheme in ("http", "https") and bool(host)
