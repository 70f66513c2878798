"""Which hook of the program is called when.

It follows haskell-prefork to the letter where nothing fails.

Only this module calls the program's hooks. Otherwise this is a decider like any other (see `_core.decider`): it takes
events and returns actions without a process or a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..._core import events as ev
from ..._core.actions import Action, Exit, Report, Watch
from ..._errors import InternalError, UsageError
from ..._report.units import counted, duration
from ..change import changing
from ..forks import one_process
from ..settings import PreforkSettings
from ..spawn import Spawner
from .children import Child, Children, How, pids_in
from .lines import HookLines, end_of, error_text
from .pauses import LONGEST_DELAY, End, FirstStart, Pauses
from .reload import Change, Reloads

running: ContextVar[Spawner] = ContextVar("running")
"""The spawner of the master whose hook is running now; unset outside of hooks, and so outside of masters."""

_STARTING = {"update_server", "on_child_finished"}
"""The hooks that return pids."""
KILLED = 4
"""The exit status of a stop that had to kill workers, as a `Daemon`'s."""
_MORE = 5
"""Workers that hooks may start and raise afterwards, beyond twice as many as there were."""
_ALMOST = 0.001
"""Seconds before its deadline in which something is done with what is done now."""


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
        self._live = Children()
        self._most = 0  # that lived after a hook that did not raise
        self._first = FirstStart()
        self._pauses = Pauses()
        self._lines = HookLines(signal_names)
        self._reloads = Reloads(self._live)
        self._returned: dict[str, tuple[int, float]] = {}  # key -> pid and age of one that has returned at once
        self._finishing = False
        self._interrupts = 0
        self._status = 0
        self._error = ""  # of the hooks of the present event
        self.failed = ""
        """Why a start or a reload has failed with the last event; empty if none has."""
        self.retry_at: float | None = None
        """When `on_child_finished` is called by itself."""
        self._actions: list[Action] = []
        self._now = 0.0

    def handle(self, event: ev.Event, now: float) -> list[Action]:
        """Call the hooks for this event; return the other actions."""
        self._now, self._actions = now, [*self._lines.due(now)]
        self._error = self.failed = ""
        self._first.look(self._live, now)
        match event:
            case ev.Started():
                self._start()
            case ev.SignalReceived():
                self._signalled(event.name, event.terminal_gone)
            case ev.ProcessesExited(exits):
                self._exited(exits)
            case ev.ContextTaken(pid) | ev.WorkerReady(pid):
                self._up(pid, isinstance(event, ev.WorkerReady))
            case ev.ContextRefused(pid, reason):
                self._context_refused(pid, reason)
            case ev.DeadlinePassed():
                self._deadline_passed()
            case _:
                raise InternalError(f"the hooks interface has no use for {event}")
        if not self._finishing and self._first.hopeless(self._live, self.retry_at is not None):
            failures = counted(self._first.failures, "failure")
            self._actions += self._lines.due(now, at_once=True)
            self._actions.append(Report(f"prefork: start failed: no worker has taken its context ({failures})"))
            self._give_up(1)
        if self._finishing and not self._live:
            self._call("on_finish", self._config)
            self._actions += [*self._lines.due(now, at_once=True), Exit(self._status)]
        return self._actions

    @property
    def stopping(self) -> bool:
        """Whether the master ends with its last child."""
        return self._finishing

    @property
    def reloading(self) -> bool:
        """Whether former workers wait for new ones to be up."""
        return self._reloads.present is not None

    def next_deadline(self) -> float | None:
        """Return when something is due by itself: a relaunch, a kill, the end of a reload, a line of the log."""
        deadlines = (each.next_deadline() for each in (self._live, self._lines, self._reloads))
        return min((at for at in (self.retry_at, *deadlines) if at is not None), default=None)

    def _start(self) -> None:
        self._config = self._call("update_config")
        if not self._finishing:
            self._call("on_start", self._config)
        self._reload()

    def _reload(self) -> None:
        if self._finishing:
            return
        with self._changing(Change()) as change:
            change.config = self._call("update_config")
            good = change.config is not None and not self._finishing
            if good:
                returned = self._call("update_server", change.config)
                good = returned is not _RAISED
                self._adopt(returned)
        self._returned.clear()
        self.failed = self._error
        self._conclude(change, good)

    def _signalled(self, name: str, terminal_gone: bool) -> None:
        if name == "TERM" or terminal_gone:
            self._finish("on_terminate", "TERM")
        elif name == "INT":
            self._interrupts += 1
            if self._interrupts > 1 and self._is_default("on_interrupt"):
                self._actions.append(Report(f"prefork: INT again: killing {counted(len(self._live), 'worker')}"))
                self._actions += self._live.kill(list(self._live), "interrupted twice")
            else:
                self._finish("on_interrupt", "INT")
        elif name == "HUP":
            self._reload()
        elif name == "QUIT" and self._config is not None:
            self._call("on_quit", self._config)

    # The end of the daemon, and of workers.

    def _finish(self, hook: str, name: str) -> None:
        """End the master with its last child. A second call calls the hook again."""
        self._finishing = True
        self.retry_at = None
        self._reloads.leave()
        pids = list(self._live)
        ours = self._is_default(hook)
        if self._config is None or self._call(hook, self._config, pids) is _RAISED:
            # No hook has signalled them, or it failed: without a signal the master would wait for ever.
            ours = True
            self._actions += self._live.signal(pids, name)
        if ours:
            self._live.give_time(pids, self._now + self._settings.drain_timeout)

    def _is_default(self, hook: str) -> bool:
        return getattr(self._settings, hook) is getattr(PreforkSettings, hook)

    def _ask(self, pids: Iterable[int]) -> None:
        """Ask workers to end that have successors, or failed to be such."""
        self._actions += self._live.ask(pids, self._now + self._settings.drain_timeout)

    def _deadline_passed(self) -> None:
        now = self._now + _ALMOST
        if late := self._live.late(now):
            why = f"still there {duration(self._settings.drain_timeout)} after it was asked to end"
            self._actions += [*self._lines.killed(self._live, late, why), *self._live.kill(late, why)]
            if self._finishing:
                self._status = self._status or KILLED
        if reason := self._reloads.late(now):
            self._fail(reason)
        if self.retry_at is not None and self.retry_at <= now:
            self._relaunch()

    # Children.

    def _exited(self, exits: tuple[ev.ProcessExit, ...]) -> None:
        ends, broken = [], ""
        for end in exits:
            child = self._live.pop(end.pid, None) or self._child(end.pid)
            how = child.how(end, self._now, self._signal_names)
            self._first.ended(end.pid, how)
            ends.append(End(how, end.usage and end.usage[0] + end.usage[1]))
            up = self._reloads.is_up(child)
            if self._reloads.concerns(end.pid) and (end.status != 0 or not up):
                broken = end_of(child, end, self._signal_names, up)
            else:
                self._report_end(child, end, how)
            self._spawner.forget(end.pid)
            if self._config is not None:
                self._call("cleanup_child", self._config, end.pid)
        if broken:
            self._fail(broken)
        self._advance()
        if not self._finishing:
            self._relaunch_after(ends)

    def _child(self, pid: int) -> Child:
        key = self._spawner.name(pid)
        return Child(self._now, key, began=self._now if key is None else None)

    def _relaunch_after(self, ends: list[End]) -> None:
        at = self._now if self._first.hurries() else self._pauses.after(ends, self._now)
        waits = self.retry_at is not None and all(end.how == "asked" for end in ends)
        if self._config is not None and not waits:
            if at <= self._now:
                self._relaunch()
            else:
                self.retry_at = max(at, self.retry_at or at)

    def _relaunch(self) -> None:
        self.retry_at = None
        before = set(self._live)
        returned = self._call("on_child_finished", self._config)
        self._adopt(returned)
        if returned is not _RAISED:
            self._pauses.succeeded()
        started = {self._live[pid].key for pid in self._live.keys() - before}
        for key, (pid, lived) in self._returned.items():
            if key in started:
                self._actions += self._lines.returned(key, pid, lived, self._now)
        self._returned.clear()

    def _report_end(self, child: Child, end: ev.ProcessExit, how: How) -> None:
        if how == "returned" and child.key is not None:
            self._returned[child.key] = end.pid, self._now - child.since
        if not (self._finishing and self._status):  # Otherwise the error has been said, and stays the last line.
            self._actions += self._lines.ended(child, end, how, self._now)

    def _up(self, pid: int, ready: bool) -> None:
        if (child := self._live.get(pid)) is None:
            return
        self._first.succeeded = True
        self._reloads.up(child, self._now, ready)
        self._advance()

    def _context_refused(self, pid: int, reason: str) -> None:
        if (child := self._live.get(pid)) is None:
            return
        child.refused = True
        text = f"{child.key}: cannot decode its context (pid {pid}): {reason}"
        if self._reloads.concerns(pid):
            self._fail(text)
        else:
            self._actions.append(Report(f"prefork: {text}"))
        if not self._first.succeeded and not self._finishing:
            self._give_up(2)  # A mistake in the program, not a bad moment of a good one.

    def _adopt(self, returned: Any) -> None:
        pids = [] if returned is _RAISED else pids_in(returned)
        if pids is None:
            self._error = f"a hook returned {returned!r}, not the pids of new workers"
            self._actions.append(Report(f"prefork: {self._error}"))
            pids = []
        for pid in dict.fromkeys([*pids, *self._spawner.take_started()]):
            if pid not in self._live:
                self._live[pid] = self._child(pid)
                self._actions.append(Watch(pid))
                if (change := changing.get(None)) is not None:
                    change.started.append(pid)

    # Reloads: see `reload`.

    @contextmanager
    def _changing(self, change: Change) -> Iterator[Change]:
        token = changing.set(change)
        try:
            yield change
        finally:
            changing.reset(token)

    def _conclude(self, change: Change, good: bool) -> None:
        """Go on with a change whose hooks have been called, or undo it."""
        self._first.began(self._live)
        if not good:
            self._withdraw(change)
            return
        self._most = max(self._most, len(self._live))
        if change.exchange is None or not self._first.succeeded:
            self._commit(change)  # There is nothing to exchange, or nothing that has worked to go back to.
            return
        self._ask(self._reloads.begin(change, self._now))
        self._advance()

    def _advance(self) -> None:
        if (change := self._reloads.finished()) is None:
            return
        self._commit(change)
        if self.retry_at is None and not set(change.started) <= self._live.keys():
            self.retry_at = self._now + LONGEST_DELAY  # Until now the former workers were the wanted ones.

    def _commit(self, change: Change) -> None:
        self._config = change.config
        if change.exchange is not None:
            self._ask(change.exchange())

    def _withdraw(self, change: Change) -> None:
        change.undo()
        if change.exchange is not None:
            self._ask(change.started)

    def _fail(self, reason: str) -> None:
        if (change := self._reloads.leave()) is not None:
            self._withdraw(change)
            self.failed = reason
            text = f"reload failed: {reason}; the former workers and the former configuration stay"
            self._actions.append(Report(f"prefork: {text}"))

    # Hooks.

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a hook. `_RAISED` when it raised, except for update_config: that is as if it had nothing new."""
        if changing.get(None) is not None:
            return self._run(name, *arguments)
        with self._changing(Change(self._config)) as change:
            result = self._run(name, *arguments)
        self._conclude(change, result is not _RAISED)
        return result

    def _run(self, name: str, *arguments: Any) -> Any:
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
            self._raised(name, error)
            result = None if name == "update_config" else _RAISED
        finally:
            running.reset(token)
            self._called()
        self._adopt(())
        return result

    def _raised(self, hook: str, error: BaseException) -> None:
        """Report it; end a daemon that has not started yet, or close the gap that this hook may have left."""
        self._error = f"hook {hook}: {error_text(error)}"
        self._actions += self._lines.raised(hook, error, self._now)
        if self._finishing:
            return
        if not self._first.succeeded and hook != "on_quit":
            self._give_up(2 if isinstance(error, UsageError) else 1)
        elif self._config is not None and self.retry_at is None and len(self._live) <= 2 * self._most + _MORE:
            # Not beyond that: a hook that starts a worker and then raises would do so for ever.
            self.retry_at = self._now + self._pauses.after_raise()

    def _give_up(self, status: int) -> None:
        """End a daemon whose first start has failed, its workers first."""
        self._status = status
        self._finish("on_terminate", "TERM")

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
