"""The limits around a WSGI application. What breaks one is answered, and the application is not called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .limits import Limits, of_environ
from .refusals import Refusals, headers, phrase

if TYPE_CHECKING:
    from .. import Application

CLOSE = "prefork.close"
"""Tells the server, by the environ, to close the connection, whose body is not read: PEP 3333 has no header for it."""


class LimitedApplication:
    """An application whose requests are within the limits."""

    def __init__(self, application: Application, limits: Limits, refusals: Refusals) -> None:
        self._application = application
        self._limits = limits
        self._refusals = refusals

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Handle one request, or refuse it."""
        refusal = self._limits.refusal(*of_environ(environ))
        if refusal is not None:
            return self._refuse(environ, start_response, refusal)
        if self._limits.body and not environ.get("CONTENT_LENGTH"):
            return self._bounded(environ, start_response)
        return self._application(environ, start_response)

    def _bounded(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Call it, and answer in its place where a body without a length was too large before it answered."""
        environ["wsgi.input"] = body = _Bounded(environ["wsgi.input"], self._limits.body)

        def starting(*head: Any, **more: Any) -> Any:
            return _write_nothing if body.over else start_response(*head, **more)

        try:
            answer = self._application(environ, starting)
        except OSError:
            if not body.over:
                raise
            answer = []
        if not body.over:
            return answer
        getattr(answer, "close", lambda: None)()
        return self._refuse(environ, start_response, self._limits.too_large(self._limits.body + 1))

    def _refuse(
        self, environ: dict[str, Any], start_response: Callable[..., Any], refusal: tuple[int, str]
    ) -> list[bytes]:
        status, why = refusal
        self._refusals.log(status, why)
        environ[CLOSE] = True
        start_response(phrase(status), [pair for pair in headers(status) if pair[0] != "Connection"])
        return [phrase(status).encode()]


def _write_nothing(_data: bytes) -> None:
    """Take what an application writes that has been answered for."""


class _Bounded:
    """A body without a length: reading more of it than the limit raises OSError, as where the client has gone."""

    def __init__(self, body: Any, limit: int) -> None:
        self._body = body
        self._left = limit

    @property
    def over(self) -> bool:
        """Whether it was too large."""
        return self._left < 0

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes."""
        return self._counted(self._body.read(self._left + 1 if size is None or size < 0 else size))

    def readline(self, size: int = -1) -> bytes:
        """Read a line."""
        return self._counted(self._body.readline(self._left + 1 if size is None or size < 0 else size))

    def readlines(self, hint: int = -1) -> list[bytes]:
        """Read all lines."""
        return list(self)

    def __iter__(self) -> _Bounded:
        return self

    def __next__(self) -> bytes:
        if line := self.readline():
            return line
        raise StopIteration

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self.over:
            raise OSError("the body of the request is larger than --limit-request-body")
        return data
