"""Options for an application: its workers, its addresses, and the server that serves it."""

from __future__ import annotations

from ..._linux.address import address
from ..option import Option
from ..types import SECONDS, Choice, Flag, Parsed, Several, Text, Whole
from .urls import is_url

_ADDRESSES = Several(Parsed("ADDRESS", address))
_PATH = Text("PATH", "a path such as /shop", lambda text: text.startswith("/") and not text.endswith("/"))
_URL = Text("URL", "a path such as /shop?page=1, or a URL with http:// or https://", is_url)
_SERVER = Text("NAME", "the name of a server")

APPLICATION = (
    Option("workers", Whole(1, word="auto"), "auto", "Number of workers; auto: one per processor.", "served", "-w"),
    Option("bind", _ADDRESSES, ["tcp://127.0.0.1:8000"], "Address to listen on; repeatable.", "served", "-b"),
    Option("server", _SERVER, None, "Server; default: uvicorn for ASGI, waitress or granian for WSGI.", "served"),
    Option("interface", Choice(("auto", "asgi", "wsgi")), "auto", "Application interface; auto: detected.", "served"),
    Option("threads", Whole(1), 8, "Threads per worker for a WSGI application; 1: the main thread.", "served"),
    Option("lifespan", Choice(("auto", "on", "off")), "auto", "ASGI lifespan; auto: where supported.", "served"),
    Option("loop", Choice(("auto", "asyncio", "uvloop")), "auto", "Event loop; auto: uvloop if installed.", "served"),
    Option("preload", Flag(), True, "Import once and fork workers; --no-preload: each imports by itself.", "served"),
    Option("warm", Several(_URL), None, "URL to request in the mold, before workers are forked; repeatable.", "served"),
    Option("root_path", _PATH, None, "Path below which a proxy serves the application.", "served"),
    Option("keepalive_window", SECONDS, 1.0, "Seconds a draining worker keeps idle connections open.", "served"),
)
