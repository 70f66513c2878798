"""The page itself: its files, from memory, with headers that let nothing come from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

ASSETS = Path(__file__).with_name("assets")

HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

Endpoint = Callable[[Request], Awaitable[Response]]


def files() -> dict[str, Endpoint]:
    """Return what answers for each file, by its path; the page itself is at `/`."""
    return {
        "/" if path.name == "index.html" else f"/assets/{path.name}": _file(path)
        for path in sorted(ASSETS.iterdir())
        if path.suffix in TYPES
    }


def _file(path: Path) -> Endpoint:
    content = path.read_bytes()
    headers = {**HEADERS, "etag": f'"{sha256(content).hexdigest()[:16]}"', "content-type": TYPES[path.suffix]}

    async def file(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return file
