"""Health: `/healthz` of the agent, `/readyz` of the daemon, and `/status.json`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import BaseRoute, Route

from .._report.judgement import judge
from .options import AgentOptions
from .source import Source


def routes(source: Source, _options: AgentOptions) -> list[BaseRoute]:
    """Return the routes. The functions run in threads, since each may wait for the master."""

    def healthz(_request: Request) -> PlainTextResponse:
        source.status()
        return PlainTextResponse("the master answers\n")

    def readyz(_request: Request) -> PlainTextResponse:
        ready, text = judge(source.status())
        return PlainTextResponse(f"{text}\n", 200 if ready else 503)

    def status(_request: Request) -> JSONResponse:
        return JSONResponse(source.status())

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/status.json", status)]
