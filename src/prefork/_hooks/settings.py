"""The nine hooks of a program that uses the hooks interface."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

C = TypeVar("C")
"""The program's configuration."""


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)  # A stopped worker would not hear the first one until somebody continued it.
        except ProcessLookupError:
            pass  # Reaped by the program itself: there is nobody left to tell.


def _terminate(_config: Any, pids: Sequence[int]) -> None:
    send(pids, signal.SIGTERM)


def _interrupt(_config: Any, pids: Sequence[int]) -> None:
    send(pids, signal.SIGINT)


@dataclass(frozen=True)
class PreforkSettings(Generic[C]):
    """The nine hooks of a master, over a configuration of type `C`.

    A hook that raises is logged with its traceback and the master goes on; one that raises SystemExit ends the daemon
    with that status, after its workers.
    """

    on_terminate: Callable[[C, Sequence[int]], object] = _terminate
    """TERM came: tell all these pids. The master then waits for the last child."""
    on_interrupt: Callable[[C, Sequence[int]], object] = _interrupt
    """INT came: the same."""
    on_quit: Callable[[C], object] = lambda _config: None
    """QUIT came. It does not end the daemon."""
    on_child_finished: Callable[[C], Iterable[int] | None] = lambda _config: ()
    """Children have ended: start others and return their pids. Called once for all that ended together."""
    on_start: Callable[[C | None], object] = lambda _config: None
    """The master starts; nothing else has been started yet."""
    on_finish: Callable[[C | None], object] = lambda _config: None
    """The last child has ended, and so does the master."""
    update_server: Callable[[C], Iterable[int] | None] = lambda _config: ()
    """At start and at HUP, with the new configuration: start workers and return their pids."""
    cleanup_child: Callable[[C, int], object] = lambda _config, _pid: None
    """This child has ended. Called for each one, before `on_child_finished`."""
    update_config: Callable[[], C | None] = lambda: None
    """Return the configuration as it now is, or None to keep the one that was and start nothing."""


def default_settings() -> PreforkSettings[Any]:
    """Return settings that only pass TERM and INT on to the workers."""
    return PreforkSettings()
