"""The path below which a proxy serves the application, whether or not the proxy removes it from requests.

ASGI: `path` and `raw_path` have it, as `root_path` does. WSGI: `SCRIPT_NAME` is it, and `PATH_INFO` does not have it.
Both give the same full path, so that frameworks make the same links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from .. import Application


def asgi(application: Application, prefix: str) -> Application:
    """Return an ASGI application below `prefix`, which begins with a slash and does not end with one."""
    raw = quote(prefix).encode()

    def request(scope: Any, receive: Any, send: Any) -> Any:
        if (path := scope.get("path")) is not None:  # A lifespan has none.
            scope = scope | {"root_path": prefix}  # The access log, outside of this, has the path as it was sent.
            if path.startswith("/") and not _is_below(path, prefix):
                scope["path"] = prefix + path
                if scope.get("raw_path") is not None:
                    scope["raw_path"] = raw + scope["raw_path"]
        return application(scope, receive, send)

    return request


def wsgi(application: Application, prefix: str) -> Application:
    """Return a WSGI application below `prefix`."""
    prefix = prefix.encode().decode("latin-1")  # PEP 3333: bytes, each as a character.

    def request(environ: dict[str, Any], start_response: Any) -> Any:
        environ = environ | {"SCRIPT_NAME": prefix}
        if _is_below(path := environ["PATH_INFO"], prefix):
            environ["PATH_INFO"] = path[len(prefix) :]
        return application(environ, start_response)

    return request


def _is_below(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/")
