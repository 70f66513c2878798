"""A request of a WSGI application without a server (PEP 3333)."""

from __future__ import annotations

import io
import sys
from typing import Any

from .request import MARK, Request


def call(application: Any, request: Request) -> tuple[int, str]:
    """Request it, read the answer to its end and close it; return its status, and where it leads."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started[:] = status, headers
        return len  # write(): what it is given is not kept.

    answer = application(_environ(request), start_response)
    try:
        for _ in answer:
            pass
    finally:
        getattr(answer, "close", lambda: None)()
    if not started:
        raise RuntimeError("the application has not called start_response")
    status, headers = started
    return int(status[:3]), next((value for name, value in headers if name.lower() == "location"), "")


def _environ(request: Request) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.decode("latin-1"),
        "QUERY_STRING": request.query.decode("latin-1"),
        "SERVER_NAME": request.server,
        "SERVER_PORT": str(request.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": request.host,
        "HTTP_ACCEPT": "*/*",
        "HTTP_USER_AGENT": "prefork",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        MARK: True,
    }
