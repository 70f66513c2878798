"""What a request was, read from an ASGI scope or from a WSGI environ. Texts are as the client sent them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .exchange import Exchange

Text = Callable[[Exchange], str | None]


class Asgi:
    """A request by its scope."""

    @staticmethod
    def client(exchange: Exchange) -> str | None:
        """Return the client's address; None at a Unix socket."""
        client = exchange.source.get("client")
        return client[0] if client else None

    @staticmethod
    def method(exchange: Exchange) -> str:
        """Return the method; that of a WebSocket's handshake is GET."""
        return exchange.source.get("method", "GET")  # type: ignore[no-any-return]

    @staticmethod
    def path(exchange: Exchange) -> str:
        """Return the path, with its percent escapes where the server has kept them."""
        raw: bytes | None = exchange.source.get("raw_path")
        return raw.decode("latin-1") if raw else exchange.source["path"]

    @staticmethod
    def query(exchange: Exchange) -> str:
        """Return the query string."""
        return exchange.source.get("query_string", b"").decode("latin-1")  # type: ignore[no-any-return]

    @staticmethod
    def protocol(exchange: Exchange) -> str:
        """Return the protocol and its version."""
        return f"HTTP/{exchange.source.get('http_version', '1.1')}"

    @staticmethod
    def header(name: str) -> Text:
        """Return what reads this header of a request."""
        key = name.lower().encode()

        def read(exchange: Exchange) -> str | None:
            headers = exchange.request_headers
            if headers is None:
                exchange.request_headers = headers = dict(exchange.source["headers"])
            value = headers.get(key)
            return None if value is None else value.decode("latin-1")

        return read

    @staticmethod
    def set_header(exchange: Exchange, name: str, value: str) -> None:
        """Give the request this header, in place of any other of the name."""
        key = name.lower().encode()
        others = [header for header in exchange.source["headers"] if header[0] != key]
        exchange.source["headers"] = [*others, (key, value.encode())]


class Wsgi:
    """A request by its environ."""

    @staticmethod
    def client(exchange: Exchange) -> str | None:
        """Return the client's address; None where the server knows none."""
        return exchange.source.get("REMOTE_ADDR")

    @staticmethod
    def method(exchange: Exchange) -> str:
        """Return the method."""
        return exchange.source["REQUEST_METHOD"]  # type: ignore[no-any-return]

    @staticmethod
    def path(exchange: Exchange) -> str:
        """Return the path; without its percent escapes, which an environ does not have."""
        environ = exchange.source
        return environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")  # type: ignore[no-any-return]

    @staticmethod
    def query(exchange: Exchange) -> str:
        """Return the query string."""
        return exchange.source.get("QUERY_STRING", "")  # type: ignore[no-any-return]

    @staticmethod
    def protocol(exchange: Exchange) -> str:
        """Return the protocol and its version."""
        return exchange.source.get("SERVER_PROTOCOL", "HTTP/1.1")  # type: ignore[no-any-return]

    @staticmethod
    def header(name: str) -> Text:
        """Return what reads this header of a request."""
        key = _key(name)
        return lambda exchange: exchange.source.get(key)

    @staticmethod
    def set_header(exchange: Exchange, name: str, value: str) -> None:
        """Give the request this header, in place of any other of the name."""
        exchange.source[_key(name)] = value


Source = type[Asgi] | type[Wsgi]


def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def response_header(name: str) -> Text:
    """Return what reads this header of an answer."""
    wanted = name.lower()

    def read(exchange: Exchange) -> str | None:
        for found, value in exchange.headers:
            if _text(found).lower() == wanted:
                return _text(value)
        return None

    return read


_content_length = response_header("content-length")


def announced_size(exchange: Exchange) -> int | None:
    """Return the Content-Length of an answer; None where it has none."""
    text = _content_length(exchange)
    return int(text) if text and text.isdecimal() else None


def user_of(authorization: Text) -> Text:
    """Return what reads the user's name from the header of Basic authentication (RFC 7617)."""

    def read(exchange: Exchange) -> str | None:
        scheme, _, credentials = (authorization(exchange) or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        from binascii import Error, a2b_base64

        try:
            name, colon, _ = a2b_base64(credentials).decode("latin-1").partition(":")
        except (Error, ValueError):
            return None
        return name if colon else None

    return read


def taken_over(given: str | None) -> str:
    """Return the client's identifier of a request where it is short and printable, else a new one."""
    if given and len(given) <= 128 and given.isascii() and given.isprintable() and " " not in given:
        return given
    return os.urandom(16).hex()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
