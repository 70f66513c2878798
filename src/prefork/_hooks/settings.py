"""The nine hooks of a program that uses the hooks interface."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

C = TypeVar("C")
"""The program's configuration."""


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)  # A stopped worker gets the first one only when it is continued.
        except ProcessLookupError:
            pass  # Reaped by the program itself.


def _terminate(_config: Any, pids: Sequence[int]) -> None:
    _send(pids, signal.SIGTERM)


def _interrupt(_config: Any, pids: Sequence[int]) -> None:
    _send(pids, signal.SIGINT)


@dataclass(frozen=True)
class PreforkSettings(Generic[C]):
    """The nine hooks of a master, over a configuration of type `C`, and the deadline of its workers' end.

    A hook that raises is logged with its traceback; the master goes on, and calls `on_child_finished` after a pause.
    Before a worker has taken its context it ends the daemon with status 1, or 2 for a UsageError. A hook that raises
    SystemExit ends the daemon with that status, after its workers.
    """

    on_terminate: Callable[[C, Sequence[int]], object] = _terminate
    """Called on TERM with all workers' pids: ask them to end. The master then waits for the last child."""
    on_interrupt: Callable[[C, Sequence[int]], object] = _interrupt
    """Called on INT: as `on_terminate`."""
    on_quit: Callable[[C], object] = lambda _config: None
    """Called on QUIT, which does not end the daemon."""
    on_child_finished: Callable[[C], Iterable[int] | None] = lambda _config: ()
    """Called when children have ended, once for all that ended together: start others and return their pids."""
    on_start: Callable[[C | None], object] = lambda _config: None
    """Called at the master's start, before the first worker is started."""
    on_finish: Callable[[C | None], object] = lambda _config: None
    """Called at the master's end, after the last child's."""
    update_server: Callable[[C], Iterable[int] | None] = lambda _config: ()
    """Called at start and on HUP, with the new configuration: start workers and return their pids."""
    cleanup_child: Callable[[C, int], object] = lambda _config, _pid: None
    """Called for each child that has ended, before `on_child_finished`."""
    update_config: Callable[[], C | None] = lambda: None
    """Return the present configuration, or None to keep the former one and start nothing."""
    drain_timeout: float = 30.0
    """Seconds that workers may take to end once they are asked to; then their sessions are killed. It counts for the
    default `on_terminate` and `on_interrupt`, and for the former workers of `relaunch_settings`."""

    def __post_init__(self) -> None:
        if callable(self.drain_timeout):  # By a program that wraps all fields: they were hooks when it was written.
            object.__setattr__(self, "drain_timeout", PreforkSettings.drain_timeout)


def default_settings() -> PreforkSettings[Any]:
    """Return settings that only pass TERM and INT on to the workers."""
    return PreforkSettings()
