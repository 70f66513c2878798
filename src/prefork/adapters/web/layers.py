"""The layers around an application, from outside to inside; one that its option does not ask for is not there."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from .. import Application, ServerOptions
from . import forwarded, limited_asgi, limited_wsgi, root_path
from .limits import Limits
from .queued import counting
from .refusals import Refusals
from .trusted import Trusted

if TYPE_CHECKING:
    from ..._worker.handle import Worker


def warm(options: ServerOptions) -> None:
    """Import in the mold what the layers need, and check what they open. Raises SystemFailure."""
    if options.access_log:
        from .access import logged

        logged.check(options.access_log)


def around(application: Application, protocol: str, options: ServerOptions, worker: Worker[Any]) -> Application:
    """Return what a server calls: the application in its layers. Called once in each worker."""
    asgi = protocol == "asgi"
    application = _bound(application)
    if options.root_path:
        application = (root_path.asgi if asgi else root_path.wsgi)(application, options.root_path)
    if any(limits := Limits.of(options)):
        application = (limited_asgi if asgi else limited_wsgi).LimitedApplication(application, limits, Refusals(worker))
    if options.access_log:
        from .access.logged import logged

        application = logged(application, protocol, options, worker)
    trusted, queued = Trusted(options.forwarded_allow_ips), counting(worker.activity.queued)
    return (forwarded.asgi if asgi else forwarded.wsgi)(application, trusted, queued)


def _bound(application: Application) -> Application:
    """Return a method where an application is an object: Python would look it up at each call, in 30 ns."""
    call = type(application).__call__
    return MethodType(call, application) if isinstance(call, FunctionType) else application
