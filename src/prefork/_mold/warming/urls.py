"""The requests that warm an application up: GET, in this process, without a server."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..._options.table import Settings
from ...adapters.web import root_path
from ..recognise import Recognised
from .request import parsed
from .warm import WarmUp

ROUNDS = 3
"""How often each URL is requested: CPython adapts code where it runs again, and caches are used at the second time."""


def of_urls(recognised: Recognised, settings: Settings) -> WarmUp:
    """Return the work of requesting the URLs of `--warm` from an application."""
    below = settings["root_path"]
    application = recognised.application
    requests = {url: parsed(url) for url in dict.fromkeys(settings["warm"])}
    if recognised.what == "wsgi":
        from . import wsgi

        application = root_path.wsgi(application, below) if below else application
        calls = {url: partial(_judged, partial(wsgi.call, application, each)) for url, each in requests.items()}
        return WarmUp(settings["warm_timeout"], calls, ROUNDS)
    from . import asgi

    client = asgi.Client(root_path.asgi(application, below) if below else application)
    calls = {url: partial(_judged, partial(client.call, each)) for url, each in requests.items()}
    return WarmUp(settings["warm_timeout"], calls, ROUNDS, client.close)


def _judged(call: Any) -> str:
    """Return what is wrong with the answer: another URL than that of the page, or an error."""
    status, location = call()
    if 200 <= status < 300:
        return ""
    return f"answered {status}" + (f" (Location: {location})" if location else "")
