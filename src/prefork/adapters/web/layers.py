"""The layers around an application, from outside to inside; one that its option does not ask for is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import Application, ServerOptions
from . import forwarded, root_path
from .trusted import Trusted

if TYPE_CHECKING:
    from ..._worker.handle import Worker


def around(application: Application, protocol: str, options: ServerOptions, worker: Worker[Any]) -> Application:
    """Return what a server calls: the application in its layers. Called once in each worker."""
    asgi = protocol == "asgi"
    if options.root_path:
        application = (root_path.asgi if asgi else root_path.wsgi)(application, options.root_path)
    trusted = Trusted(options.forwarded_allow_ips)
    return (forwarded.asgi if asgi else forwarded.wsgi)(application, trusted)
