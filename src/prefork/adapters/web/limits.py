"""Limits of a request, the same on every server: its line, its headers, its body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from .. import ServerOptions

LINE_TOO_LONG, HEADERS_TOO_LARGE, BODY_TOO_LARGE, TOO_MANY = 414, 431, 413, 503
_LINE = 8192
"""Bytes for the request line beside a limit of the headers."""
_VERSION = len("  HTTP/1.1")
_SEPARATORS = len(": \r\n")


class Limits(NamedTuple):
    """The limits in bytes, and of requests in flight; 0 is none."""

    line: int
    headers: int
    body: int
    concurrency: int

    @classmethod
    def of(cls, options: ServerOptions) -> Limits:
        """Return those that the options ask for."""
        return cls(
            options.limit_request_line,
            options.limit_request_headers,
            options.limit_request_body,
            options.limit_concurrency,
        )

    def refusal(self, line: int, headers: int, length: str) -> tuple[int, str] | None:
        """Return status and reason if a request's header breaks a limit. `length`: its Content-Length, or nothing."""
        if self.line and line > self.line:
            return LINE_TOO_LONG, f"a request line of {line} bytes; the limit is {self.line}"
        if self.headers and headers > self.headers:
            return HEADERS_TOO_LARGE, f"headers of {headers} bytes; the limit is {self.headers}"
        if self.body and length.isdecimal() and int(length) > self.body:
            return self.too_large(int(length))
        return None

    def too_large(self, size: int) -> tuple[int, str]:
        """Return status and reason for a body of this size, or more."""
        return BODY_TOO_LARGE, f"a body of {size} bytes or more; the limit is {self.body}"


def gathered(options: ServerOptions, otherwise: int) -> int:
    """Return the bytes of line and headers that a server gathers before anyone can count them: no less than allowed."""
    if not options.limit_request_headers:
        return otherwise
    return options.limit_request_headers + (options.limit_request_line or _LINE)


def of_scope(scope: dict[str, Any]) -> tuple[int, int, str]:
    """Return the sizes of a request's line and headers, and its Content-Length."""
    path = scope.get("raw_path")
    target = len(quote(scope["path"]) if path is None else path) + len(scope["query_string"])
    line = len(scope.get("method", "GET")) + target + bool(scope["query_string"]) + _VERSION
    size, length = 0, b""
    for name, value in scope["headers"]:
        size += len(name) + len(value) + _SEPARATORS
        if name == b"content-length":
            length = value
    return line, size, length.decode("latin-1")


def of_environ(environ: dict[str, Any]) -> tuple[int, int, str]:
    """Return the same of a WSGI request; a path's length as it is quoted, unless the server has the original."""
    query = environ.get("QUERY_STRING", "")
    target = environ.get("REQUEST_URI") or quote(environ["PATH_INFO"].encode("latin-1")) + ("?" + query) * bool(query)
    line = len(environ["REQUEST_METHOD"]) + len(target) + _VERSION
    size = sum(
        len(name) - len("HTTP_") * name.startswith("HTTP_") + len(environ[name]) + _SEPARATORS
        for name in environ
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    )
    return line, size, environ.get("CONTENT_LENGTH") or ""
