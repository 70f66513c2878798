"""The traceback of a 500 is logged, however and whenever the application configures logging."""

from __future__ import annotations

import pytest

from adapters.served import ONE_OF_EACH, SERVERS
from support import PROOF, Start
from system.runs import Run, write

CONFIGURES = """
import logging.config

def configure():
    handlers = {"own": {"class": "logging.StreamHandler"}}
    logging.config.dictConfig({"version": 1, "handlers": handlers, "root": {"handlers": ["own"]}})

def respond(path):
    if path == "/configure":
        configure()
    if path == "/boom":
        raise ValueError("no such table")
    return b"fine"
"""

APPLICATIONS = {
    "asgi": CONFIGURES
    + """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        configure()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = respond(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": body})
""",
    "wsgi": CONFIGURES
    + """
def app(environ, start_response):
    body = respond(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "4")])
    return [body]
""",
}


@pytest.mark.parametrize("server", SERVERS if PROOF else ONE_OF_EACH, ids="-".join)
def test_traceback_survives_configuration_that_disables_loggers(start: Start, server: tuple[str, str]) -> None:
    name, protocol = server
    write(start, "shop.py", APPLICATIONS[protocol])
    run = Run(start, "shop:app", "-w", "1", "--server", name)
    run.ready()
    for path in "/boom", "/configure", "/boom":
        if path == "/configure":
            assert run.get(path) == b"fine"
            continue
        with pytest.raises(AssertionError, match="500"):
            run.get(path)
        run.running.expect("ValueError: no such table", "err")
    assert run.stop() == 0
