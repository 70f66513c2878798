"""A WSGI application wrapped for every server: its requests are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .calls import ThreadCalls, exited

if TYPE_CHECKING:
    from .._worker.handle import Worker

Environ = dict[str, Any]

_CLASSES = {"1": 100, "2": 200, "3": 300, "4": 400, "5": 500}
"""The first digit of a status -> that class of statuses."""


class CountingApplication:
    """The application, with each request counted, failed where it raises or answers 500 or more."""

    def __init__(self, application: Callable[..., Iterable[bytes]], worker: Worker[Any], threads: int = 0) -> None:
        """`threads`: how many call it, each for one request at a time; 0 where it is not known."""
        self._application = application
        self.calls = ThreadCalls(worker, threads)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request."""
        answered = 0

        def starting(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal answered
            answered = _CLASSES.get(status[:1], 0)
            write = start_response(status, headers, exc_info)
            return self.calls.waiting(number, write)

        environ["wsgi.multiprocess"] = True  # A server that has no processes of its own cannot know.
        end = self.calls.end
        number = self.calls.begin(environ)
        if environ.get("CONTENT_LENGTH"):  # as each body has that waitress passes on
            environ["wsgi.input"] = Input(environ["wsgi.input"], self.calls, number)
        try:
            answer = self._application(environ, starting)
        except Exception:
            end(number, True, 500)
            raise
        except BaseException as error:
            end(number, True, 500)
            raise exited(error) from error
        # The application has finished. Servers have a short path for these, and must get them unchanged. A class that
        # is derived from list may have a `close()`, which is still to be called.
        if type(answer) in (list, tuple):
            pieces: Any = answer
            one = len(pieces) == 1 and type(pieces[0]) is bytes
            end(number, answered >= 500, answered, len(pieces[0]) if one else _size(pieces))
            return answer
        if _is_file(answer, environ):
            end(number, answered >= 500, answered)
            return answer

        def ended(pieces: Pieces) -> None:
            status = 500 if pieces.raised else answered
            end(number, status >= 500, status, pieces.sent)

        return (SizedPieces if hasattr(answer, "__len__") else Pieces)(answer, self.calls, number, ended)


def _size(answer: Iterable[bytes]) -> int:
    """Return the bytes of an answer in one list; 0 for what the server will refuse."""
    try:
        return sum(map(len, answer))
    except TypeError:
        return 0


def _is_file(answer: Iterable[bytes], environ: Environ) -> bool:
    """Return whether an answer is a file for the server."""
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(answer, wrapper)


class Input:
    """The body of a request: who reads it waits for the client."""

    __slots__ = ("_calls", "_input", "_number")

    def __init__(self, body: Any, calls: ThreadCalls, number: int) -> None:
        self._input = body
        self._calls = calls
        self._number = number

    def __getattr__(self, name: str) -> Any:
        """Return what the server's object has: `read`, `readline`, `readlines`, or what only this server offers."""
        found = getattr(self._input, name)
        return self._calls.waiting(self._number, found) if callable(found) else found

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line: bytes = self.readline()
        if not line:
            raise StopIteration
        return line


class Pieces:
    """An answer that is made while it is sent; counts the request's end. Between two pieces it waits for the client.

    `sent`: bytes so far. `whole`: the server has asked for all pieces. `raised`: one could not be made.
    """

    def __init__(self, answer: Iterable[bytes], calls: ThreadCalls, number: int, end: Callable[[Pieces], None]) -> None:
        self._answer = answer
        self._calls = calls
        self.number = number
        self._end = end
        self.sent, self.whole, self.raised = 0, False, False

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._answer:
                self.sent += len(piece)
                self._calls.wait(self.number)
                yield piece
                self._calls.go_on(self.number)
            self.whole = True
        except (Exception, GeneratorExit) as error:
            self.raised = not isinstance(error, GeneratorExit)
            raise
        except BaseException as error:
            self.raised = True
            raise exited(error) from error

    def close(self) -> None:
        """Count the end. The server calls it in any case (PEP 3333)."""
        self._calls.go_on(self.number)
        try:
            getattr(self._answer, "close", lambda: None)()
        except (SystemExit, KeyboardInterrupt) as error:
            raise exited(error) from error
        finally:
            self._end(self)


class SizedPieces(Pieces):
    """An answer that knows the number of its pieces: of one piece a server knows the Content-Length (PEP 3333)."""

    def __len__(self) -> int:
        return len(self._answer)  # type: ignore[arg-type]
