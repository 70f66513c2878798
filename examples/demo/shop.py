"""The application of `make demo`: plain ASGI, without a framework. It knows nothing of prefork."""

import asyncio
import os
from typing import Any

GREETING = "hello"  # Change it, then reload.


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer with a greeting and the worker's pid; /slow takes three seconds, to see a request outlive a reload."""
    if scope["type"] != "http":
        return  # No lifespan and no WebSockets: the server goes on without them.
    if scope["path"] == "/slow":
        await asyncio.sleep(3)
    body = f"{GREETING} from worker process {os.getpid()}\n".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
