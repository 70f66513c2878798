"""An import that does not return: where the main thread is, told to the master by another one."""

from __future__ import annotations

import _thread
import sys
import traceback
from collections.abc import Callable
from time import monotonic

from ..._wire.frames import is_own

_FIRST, _SECOND = 5.0, 25.0
"""Seconds after which the place is told, and then again whenever it has changed: each time after twice as long."""
_SERVERS = ("werkzeug/serving.py", "uvicorn/server.py", "waitress/server.py", "hypercorn/run.py", "aiohttp/web.py")
_GUARD = '\nIt runs a server of its own: put that call behind `if __name__ == "__main__":`'


class SlowImport:
    """Watches the import from `begin` to `end`; `tell` gets a text each time."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._main = _thread.get_ident()
        self._over, self._gone = _thread.allocate_lock(), _thread.allocate_lock()
        self._wait_over = self._over.acquire  # Bound before the application can replace anything.

    def begin(self) -> None:
        """Start the thread that watches."""
        self._over.acquire()
        self._gone.acquire()
        _thread.start_new_thread(self._watch, ())

    def end(self) -> None:
        """End it, since the forks that follow would lose it; a second call does nothing."""
        if self._over.locked():
            self._over.release()
            self._gone.acquire(timeout=_FIRST)

    def _watch(self) -> None:
        begun, pause, last = monotonic(), _FIRST, ""
        while not self._wait_over(timeout=pause):
            stack = self._stack()
            if stack != last:
                self._tell(f"still importing after {monotonic() - begun:.0f} s, at{stack}")
            last, pause = stack, max(_SECOND, 2 * pause)
        self._gone.release()

    def _stack(self) -> str:
        """Return the main thread's stack, the innermost frame last, without what lies beneath the application."""
        frames = traceback.extract_stack(sys._current_frames().get(self._main))
        while frames and is_own(frames[0].filename):
            del frames[0]
        text = "".join(traceback.format_list(frames)).rstrip()
        runs = any(frame.filename.endswith(_SERVERS) for frame in frames)
        return f"\n{text}{_GUARD if runs else ''}"
