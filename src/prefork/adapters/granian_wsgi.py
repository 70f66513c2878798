"""A WSGI application as granian's threads call it, with counting.

It replaces granian's own wrapper.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from .._errors import UsageError
from .calls import ThreadCalls
from .web.limited_wsgi import CLOSE
from .wsgi import Input, Pieces

if TYPE_CHECKING:
    from .._worker.handle import Worker
    from . import ServerOptions


class Calls:
    """The requests of one worker.

    They replace granian's wrapper, since the status is known here, and both would cost twice. granian's
    also gives each request a copy of the process's whole environment, reports that there is no other process, and does
    not wait for a generator's first piece.
    """

    def __init__(
        self,
        application: Callable[..., Any],
        worker: Worker[Any],
        options: ServerOptions,
        wrapped: Callable[[Any], Any],
    ) -> None:
        """`wrapped` converts an answer in pieces for granian."""
        self._application = application
        self._wrapped = wrapped
        self._activity, self._drain = worker.activity, worker._drain
        self.calls = ThreadCalls(worker, options.threads)
        self._environ: dict[str, Any] = {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SCRIPT_NAME": "",
            "SERVER_SOFTWARE": "granian",
            "wsgi.errors": sys.stderr,
            "wsgi.input_terminated": True,  # PEP 3333 does not have it; Werkzeug asks for it.
            "wsgi.multiprocess": True,
            "wsgi.multithread": True,
            "wsgi.run_once": False,
            "wsgi.version": (1, 0),
        }
        if options.tls is not None:
            self._environ["HTTPS"] = "on"

    def answer(self, protocol: Any, scope: dict[str, Any]) -> int:
        """Handle one request; return the status. granian answers an exception with 500."""
        environ = self._environ | scope
        head, end = _Head(), self.calls.end
        number = self.calls.begin(environ)
        environ["wsgi.input"] = Input(environ["wsgi.input"], self.calls, number)
        try:
            answer = self._application(environ, head)
            body = b"".join(answer) if type(answer) is list else None
            if not head.status:
                answer = _Begun(answer)
                head.check()
        except BaseException:
            end(number, True, 500)
            raise
        status, headers = head.status, head.headers
        if (self._drain.requested or CLOSE in environ) and environ["SERVER_PROTOCOL"].startswith("HTTP/1"):
            headers = [*headers, ("connection", "close")]
        if body is None:
            pieces = Pieces(answer, self.calls, number, partial(self._ended, environ, head))
            protocol.response_iter(status, headers, self._wrapped(pieces))
        else:
            end(number, status >= 500, status, len(body))
            protocol.response_bytes(status, headers, body)
        return status

    def _ended(self, environ: dict[str, Any], head: _Head, pieces: Pieces) -> None:
        """Count the end of an answer in pieces; one that is closed early has lost its client."""
        if not pieces.whole and not pieces.raised and not _is_short(environ, head, pieces.sent):
            self._activity.disconnected()
        status = 500 if pieces.raised else head.status
        self.calls.end(pieces.number, status >= 500, status, pieces.sent)


def _is_short(environ: dict[str, Any], head: _Head, sent: int) -> bool:
    """Return whether granian had no reason to ask for another piece."""
    announced = next((value for name, value in head.headers if name.lower() == "content-length"), None)
    return environ["REQUEST_METHOD"] == "HEAD" or head.status in (204, 304) or announced == str(sent)


@lru_cache(64)
def _number(status: str) -> int:
    """Return the number of a status such as `200 OK`; kept, since most responses have one of a few."""
    return int(status.split(" ", 1)[0])


class _Head:
    """The `start_response` of one request; keeps status and headers."""

    __slots__ = ("headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status = _number(status)
        self.headers = headers

    def check(self) -> None:
        """Raise UsageError if `start_response` has not been called."""
        if not self.status:
            raise UsageError("the application has answered without calling start_response")


class _Begun:
    """An answer whose first piece is made: a generator may call `start_response` only then (PEP 3333)."""

    def __init__(self, answer: Any) -> None:
        self._rest = iter(answer)
        self._first = list(islice(self._rest, 1))
        self.close = getattr(answer, "close", lambda: None)

    def __iter__(self) -> Iterator[bytes]:
        return chain(self._first, self._rest)
