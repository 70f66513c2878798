"""Where the application's import opens connections and starts threads, noted while it does.

Two functions are wrapped for that time. An audit hook would see the same, but cannot be removed: each of the events
that CPython raises would cost every worker a call, for ever. Neither `socket` nor `threading` is imported for it, nor
`sysconfig`, which imports `threading` from CPython 3.12 on: its handlers of forks cost each worker 200 kB.
"""

from __future__ import annotations

import _socket
import _thread
import os
import sys
from collections.abc import Callable
from typing import Any

from ..._wire.frames import is_own

_STARTERS = ("start_new_thread", "start_new", "start_joinable_thread")
"""The functions of `_thread` that start one; CPython 3.13 has the last one."""
_STANDARD = os.path.dirname(os.__file__) + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


class Origins:
    """Notes the places from `begin` to `end`: `connections` by the socket's inode, `threads` by the thread's id."""

    def __init__(self) -> None:
        self.connections: dict[int, str] = {}
        self.threads: dict[int, str] = {}
        self._undo: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Wrap the functions."""
        for name in _STARTERS:
            if (original := getattr(_thread, name, None)) is not None:
                self._wrap_starter(name, original)
        # On the class that Python code uses: `_socket.socket` itself cannot be changed.
        socket = sys.modules.get("socket")
        if socket is None:
            return
        original, note = _socket.socket.connect, self._note_connection

        def connect(self: Any, address: Any, /) -> None:
            note(self)
            original(self, address)

        socket.socket.connect = connect
        self._undo.append(lambda: _restore(socket.socket, connect))

    def end(self) -> None:
        """Unwrap them; what has been bound elsewhere meanwhile goes on to work."""
        while self._undo:
            self._undo.pop()()

    def _note_connection(self, connecting: Any) -> None:
        try:
            self.connections[os.fstat(connecting.fileno()).st_ino] = here()
        except OSError:
            pass  # It is closed: connect() says so.

    def _wrap_starter(self, name: str, original: Any) -> None:
        def start(*args: Any, **kwargs: Any) -> Any:
            place, started = here(), original(*args, **kwargs)
            self.threads[getattr(started, "ident", started)] = place
            return started

        def undo() -> None:
            for module in _thread, sys.modules.get("threading"):
                for bound in name, f"_{name}":
                    if module is not None and getattr(module, bound, None) is start:
                        setattr(module, bound, original)

        setattr(_thread, name, start)
        threading = sys.modules.get("threading")
        if threading is not None and getattr(threading, f"_{name}", None) is original:
            setattr(threading, f"_{name}", start)
        self._undo.append(undo)


def _restore(owner: Any, wrapper: Any) -> None:
    if vars(owner).get("connect") is wrapper:
        del owner.connect


def here() -> str:
    """Return the application's innermost line on this thread's stack, as `FILE:LINE`; else a library's, or nothing."""
    library, frame = "", sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not is_own(file) and not file.startswith("<frozen "):
            if not _is_library(file):
                return f"{file}:{frame.f_lineno}"
            library = library or f"{file}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return library


def is_application(file: str | None) -> bool:
    """Return whether a module's file is the application's: neither a library's, nor ours, nor built in."""
    return file is not None and not _is_library(file) and not is_own(file)


def _is_library(file: str) -> bool:
    return file.startswith(_STANDARD) or any(part in file for part in _INSTALLED)
