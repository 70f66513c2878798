"""An application that keeps a kilobyte of each request and, at `/files`, a descriptor; and one that starts a thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

KEPT: list[bytes] = []
stop = threading.Event()
threading.Thread(target=stop.wait, name="poller", daemon=True).start()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    if environ["PATH_INFO"] == "/memory":
        KEPT.append(os.urandom(4096))
    if environ["PATH_INFO"] == "/files":
        os.open(os.devnull, os.O_RDONLY)
    return [b"ok"]
