"""A FastAPI application: requests, a WebSocket and server-sent events. Nothing in it knows of prefork."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    """Open what each worker needs for itself: connections and pools belong here, and not at the import."""
    yield {"opened_by": f"worker {os.getpid()}"}


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def root(request: Request) -> dict[str, str]:
    """Say who answers."""
    return {"hello": "world", "from": request.state.opened_by}


@app.get("/slow")
async def slow(seconds: float = 1) -> dict[str, float]:
    """Take a while: a reload waits for it."""
    await asyncio.sleep(seconds)
    return {"slept": seconds}


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Echo. When the worker is replaced, the client gets close code 1012 and connects again."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{text} from {os.getpid()}")


@app.get("/events")
async def events(count: int = 5, every: float = 1) -> StreamingResponse:
    """Count, as a stream of events. It is a request in flight: a worker that drains ends it properly."""

    async def counting() -> AsyncIterator[str]:
        for number in range(count):
            yield f"id: {number}\ndata: {number} from {os.getpid()}\n\n"
            await asyncio.sleep(every)

    return StreamingResponse(counting(), media_type="text/event-stream")
