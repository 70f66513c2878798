"""The decider of the hooks interface: which hook is called when.

It follows haskell-prefork to the letter.

Only this module calls the program's hooks. Otherwise this is a decider like any other (see `_core.decider`): it takes
events and returns actions without a process or a clock.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from .._core.actions import Action, Exit, Report, SendSignal, Watch
from .._core.events import (
    ContextRefused,
    ContextTaken,
    DeadlinePassed,
    Event,
    ProcessesExited,
    ProcessExit,
    SignalReceived,
    Started,
)
from .._errors import InternalError, PreforkError, SystemFailure, UsageError
from .._report.sentences import ended
from .forks import one_process
from .settings import PreforkSettings
from .spawn import Spawner

running: ContextVar[Spawner] = ContextVar("running")
"""The spawner of the master whose hook is running now; unset outside of hooks, and so outside of masters."""

HEALTHY = 1.0
"""Seconds: a worker that fails earlier has failed at once."""
PATIENCE = 5
"""Failures at once, in a row, after which `on_child_finished` is called with a growing delay."""
LONGEST_DELAY = 1.0

_EXPECTED = {"TERM", "INT"}
_STARTING = {"update_server", "on_child_finished"}
"""The hooks that return pids."""


class HookDecider:
    """Drives one program's hooks.

    What goes beyond haskell-prefork is in docs/hooks.md, mostly for a hook that fails: workers that it has started
    are adopted all the same, and all workers are signalled.
    """

    def __init__(
        self,
        settings: PreforkSettings[Any],
        spawner: Spawner,
        signal_names: Mapping[int, str],
        called: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._spawner = spawner
        self._signal_names = signal_names
        self._called = called  # after each hook
        self._config: Any = None
        self._live: dict[int, float] = {}  # pid -> when it was adopted
        self._taken: set[int] = set()
        self._refused: set[int] = set()
        self._ever_taken = False
        self._finishing = False
        self._status = 0
        self._failures = 0
        self._relaunch_at: float | None = None
        self._actions: list[Action] = []
        self._now = 0.0

    def handle(self, event: Event, now: float) -> list[Action]:
        """Call the hooks for this event; return the other actions."""
        self._now, self._actions = now, []
        match event:
            case Started():
                self._start()
            case SignalReceived():
                self._signalled(event.name, event.terminal_gone)
            case ProcessesExited(exits):
                self._exited(exits)
            case ContextTaken(pid):
                self._taken.add(pid)
                self._ever_taken = True
            case ContextRefused(pid, reason):
                self._context_refused(pid, reason)
            case DeadlinePassed():
                self._relaunch()
            case _:
                raise InternalError(f"the hooks interface has no use for {event}")
        if self._finishing and not self._live:
            self._call("on_finish", self._config)
            self._actions.append(Exit(self._status))
        return self._actions

    @property
    def stopping(self) -> bool:
        """Whether the master ends with its last child."""
        return self._finishing

    def next_deadline(self) -> float | None:
        """Return when relaunching goes on, if it is delayed."""
        return self._relaunch_at

    def _start(self) -> None:
        self._config = self._call("update_config")
        self._call("on_start", self._config)
        self._reload()

    def _reload(self) -> None:
        if self._finishing:
            return
        config = self._call("update_config")
        if config is not None and not self._finishing:
            self._adopt(self._call("update_server", config))
            self._config = config

    def _signalled(self, name: str, terminal_gone: bool) -> None:
        if name == "TERM" or terminal_gone:
            self._finish("on_terminate", "TERM")
        elif name == "INT":
            self._finish("on_interrupt", "INT")
        elif name == "HUP":
            self._reload()
        elif name == "QUIT" and self._config is not None:
            self._call("on_quit", self._config)

    def _finish(self, hook: str, name: str) -> None:
        """End the master with its last child. A second call calls the hook again."""
        self._finishing = True
        self._relaunch_at = None
        pids = list(self._live)
        if self._config is None or self._call(hook, self._config, pids) is _RAISED:
            # No hook has signalled them, or it failed: without a signal the master would wait for ever.
            # CONT, too: a stopped worker gets the first one only when it is continued.
            self._actions += [SendSignal(pid, signal) for pid in pids for signal in (name, "CONT")]

    def _exited(self, exits: tuple[ProcessExit, ...]) -> None:
        failed_at_once = True
        for end in exits:
            lived = self._now - self._live.pop(end.pid, self._now)
            failed_at_once &= self._report_end(end) and lived < HEALTHY
            if self._config is not None:
                self._call("cleanup_child", self._config, end.pid)
        if self._finishing or self._config is None:
            return
        self._failures = self._failures + 1 if failed_at_once else 0
        excess = self._failures - PATIENCE
        if excess <= 0:
            self._relaunch()
        elif self._relaunch_at is None:
            self._relaunch_at = self._now + min(LONGEST_DELAY, 0.05 * 2 ** min(excess, 10))

    def _relaunch(self) -> None:
        self._relaunch_at = None
        if not self._finishing:
            self._adopt(self._call("on_child_finished", self._config))

    def _report_end(self, end: ProcessExit) -> bool:
        """Report how a child ended, unless that was expected; return whether it has failed."""
        name = self._spawner.name(end.pid)
        words = ended(end.status, self._signal_names)
        early = name is not None and end.pid not in self._taken and end.pid not in self._refused
        self._spawner.forget(end.pid)
        self._taken.discard(end.pid)
        if end.pid in self._refused:
            self._refused.discard(end.pid)
            return True
        killer = self._signal_names.get(-(end.status or 0), "").removeprefix("SIG")
        if killer in _EXPECTED or (end.status == 0 and not early):
            return False
        before = " before it decoded its context" if early else ""
        text = f"{name}: {words}{before} (pid {end.pid})" if name else f"process {end.pid}: {words}"
        self._actions.append(Report(f"prefork: {text}"))
        return True

    def _context_refused(self, pid: int, reason: str) -> None:
        self._refused.add(pid)
        self._actions.append(
            Report(f"prefork: {self._spawner.name(pid)}: cannot decode its context (pid {pid}): {reason}")
        )
        if not self._ever_taken and not self._finishing:
            # Nothing has ever worked: this is a mistake in the program, not a bad moment of a good one.
            self._status = 2
            self._finish("on_terminate", "TERM")

    def _adopt(self, returned: Any) -> None:
        pids = [] if returned is _RAISED else _pids(returned)
        if pids is None:
            self._actions.append(Report(f"prefork: a hook returned {returned!r}, not the pids of new workers"))
            pids = []
        for pid in dict.fromkeys([*pids, *self._spawner.take_started()]):
            if pid not in self._live:
                self._live[pid] = self._now
                self._actions.append(Watch(pid))

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a hook. `_RAISED` when it raised, except for update_config: that is as if it had nothing new."""
        token = running.set(self._spawner)
        try:
            with one_process():
                result = getattr(self._settings, name)(*arguments)
                if name in _STARTING and isinstance(result, Iterator):
                    result = list(result)  # The generator is part of the hook: it may start workers, and raise.
        except SystemExit as exit_:
            self._adopt(())  # What it has started so far gets TERM with the others.
            self._leave(exit_)
            result = None if name == "update_config" else _RAISED
        except BaseException as error:  # A cancelled task's error, say: none may end the loop.
            self._adopt(())
            self._report_failure(name, error)
            result = None if name == "update_config" else _RAISED
        finally:
            running.reset(token)
            self._called()
        if name not in _STARTING:
            self._adopt(())
        return result

    def _report_failure(self, hook: str, error: BaseException) -> None:
        if isinstance(error, SystemFailure) and hook in _STARTING:
            # No process, memory or descriptor is left; nothing would ask again until another child ends.
            self._relaunch_at = self._now + LONGEST_DELAY
        if isinstance(error, PreforkError):
            self._actions.append(Report(f"prefork: hook {hook}: {error}"))
            if isinstance(error, UsageError) and not self._ever_taken and not self._finishing:
                # Nothing has ever worked: this is a mistake in the program, not a bad moment of a good one.
                self._status = 2
                self._finish("on_terminate", "TERM")
            return
        text = "".join(traceback.format_exception(error))
        self._actions.append(Report(f"prefork: hook {hook}: raised an exception:\n{text}"))

    def _leave(self, exit_: SystemExit) -> None:
        """End the daemon, its workers first: a hook has called sys.exit."""
        code = 0 if exit_.code is None else exit_.code
        if not isinstance(code, int):
            self._actions.append(Report(str(code)))
            code = 1
        self._status = self._status or code
        if not self._finishing:
            self._finish("on_terminate", "TERM")


class _Raised:
    """The result of a hook that raised."""


_RAISED = _Raised()


def _pids(returned: Any) -> list[int] | None:
    if returned is None:
        return []
    pids = list(returned) if isinstance(returned, Iterable) else [returned]
    # Not 0 or -1 either: to kill(2) these are whole groups of processes.
    return pids if all(type(pid) is int and pid > 0 for pid in pids) else None
