"""The routes of the dashboard."""

from __future__ import annotations

import os
import sys

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from ..._wire.places import TOKEN
from ...client import Client
from ..options import AgentOptions
from ..source import Source
from .crashes import crash_report
from .guard import Guard
from .hub import Hub
from .page import HEADERS, Endpoint, files
from .steer import Steering
from .stream import Stream
from .token import token_in


def routes(source: Source, options: AgentOptions) -> list[BaseRoute]:
    """Return the page, its stream, the history of a slot, reports and commands; nothing without `--dashboard`."""
    if not options.dashboard:
        return []
    steering = _steering(source, options)
    hub = Hub(source, steer=bool(steering))
    fresh = {**HEADERS, "cache-control": "no-store"}

    async def slot(request: Request) -> Response:
        return JSONResponse({"events": hub.history.about(request.path_params["key"])}, headers=fresh)

    def report(request: Request) -> Response:  # In a thread, since it reads files.
        incident = hub.history.incident(request.path_params["number"])
        if incident is None or not incident["report"]:
            return PlainTextResponse("this report is not kept here\n", 404, headers=fresh)
        text = hub.history.reports.get(incident["number"], "")
        if incident["event"] == "ended" and source.directory is not None:
            text = crash_report(source.directory, incident["pid"], incident["time"]) or text
        return PlainTextResponse(text or "`prefork crashes` may have a report\n", headers=fresh)

    guarded = [Middleware(Guard)]
    return [
        *(Route(path, endpoint, methods=["POST"], middleware=guarded) for path, endpoint in steering.items()),
        *(Route(path, file, middleware=guarded) for path, file in files().items()),
        Route("/stream", Stream(hub), middleware=guarded),
        Route("/slots/{key:path}", slot, middleware=guarded),
        Route("/reports/{number:int}", report, middleware=guarded),
    ]


def _steering(source: Source, options: AgentOptions) -> dict[str, Endpoint]:
    """Return what answers for each path of a command; nothing without `--dashboard-steer`."""
    directory = source.directory
    if not options.dashboard_steer or directory is None:
        return {}
    steering = Steering(Client(directory), token_in(directory))
    place = f"{os.path.realpath(directory)}/{TOKEN}"
    print(f"dashboard: commands are enabled; their token is in {place}", file=sys.stderr, flush=True)
    return {"/steer/{command}": steering.steer}
