"""A WSGI application as granian's threads call it, with counting.

It replaces granian's own wrapper.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from .._errors import UsageError
from .wsgi import Pieces

if TYPE_CHECKING:
    from .._worker.handle import Worker


class Calls:
    """The requests of one worker.

    granian's wrapper is not used: who stands there knows the status, so that nothing else has to listen for it, and
    with ours inside of it each request would pay for both. It also hands each request a copy of the whole environment
    of the process, says that there is no other process, and does not wait for what a generator says first.
    """

    def __init__(
        self, application: Callable[..., Any], worker: Worker[Any], root_path: str, wrapped: Callable[[Any], Any]
    ) -> None:
        """`wrapped` makes of an answer in pieces what granian takes."""
        self._application = application
        self._wrapped = wrapped
        self._worker = worker
        self._activity = worker.activity
        self._root_path = root_path
        self._environ: dict[str, Any] = {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SCRIPT_NAME": root_path,
            "SERVER_SOFTWARE": "granian",
            "wsgi.errors": sys.stderr,
            "wsgi.input_terminated": True,  # PEP 3333 does not have it; Werkzeug asks for it.
            "wsgi.multiprocess": True,
            "wsgi.multithread": True,
            "wsgi.run_once": False,
            "wsgi.version": (1, 0),
        }

    def answer(self, protocol: Any, scope: dict[str, Any]) -> int:
        """One request; returns the status. What is raised becomes granian's answer 500."""
        environ = self._environ | scope
        if self._root_path:
            environ["PATH_INFO"] = environ["PATH_INFO"][len(self._root_path) :] or "/"
        head, activity = _Head(), self._activity
        activity.begin(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        try:
            answer = self._application(environ, head)
            body = b"".join(answer) if isinstance(answer, list) else None
            if not head.status:
                answer = _Begun(answer)
                head.check()
        except BaseException:
            activity.end(failed=True)
            raise
        status, headers = head.status, head.headers
        if self._worker.draining and environ["SERVER_PROTOCOL"].startswith("HTTP/1"):
            headers = [*headers, ("connection", "close")]
        if body is None:
            pieces = Pieces(answer, activity.beat, lambda raised: activity.end(raised or status >= 500))
            protocol.response_iter(status, headers, self._wrapped(pieces))
        else:
            activity.end(status >= 500)
            protocol.response_bytes(status, headers, body)
        return status


class _Head:
    """What the application calls with the status and the headers of its answer: `start_response`."""

    __slots__ = ("headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status = int(status.split(" ", 1)[0])
        self.headers = headers

    def check(self) -> None:
        """Raise UsageError where there is none by now."""
        if not self.status:
            raise UsageError("the application has answered without calling start_response")


class _Begun:
    """An answer whose first piece is made: an application that is a generator says the head with it, says PEP 3333."""

    def __init__(self, answer: Any) -> None:
        self._rest = iter(answer)
        self._first = list(islice(self._rest, 1))
        self.close = getattr(answer, "close", lambda: None)

    def __iter__(self) -> Iterator[bytes]:
        return chain(self._first, self._rest)
