"""A server in a test: where it is, and what a test does to it. Each verb has a deadline."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Literal

from .._client.answers.event import Event
from .._client.answers.status import Status
from .._client.connection import Connection
from .._errors import CommandFailedError, NotRunningError, SystemFailure, UsageError
from ..client import Client
from .driving import conditions
from .driving.following import Following
from .driving.load import Load, Place
from .failures import DeadlineError, EndedError
from .process import Process

_RECHECK = 0.5
"""Seconds after which a condition is checked again without an event: it may look at more than the daemon."""


class Server:
    """A daemon that serves on the loopback for a test, started by `live_server`.

    Every verb takes a `timeout` in seconds; without one that of `live_server` counts. What does not happen in time
    raises DeadlineError, with the state of the daemon; a daemon that has ended raises EndedError, with its log.
    """

    def __init__(self, process: Process, *, timeout: float, scheme: str = "http") -> None:
        self._process = process
        self._timeout = timeout
        self._scheme = scheme
        self.stopped = False
        """Whether the test itself has ended the daemon, by `stop`."""
        self.client = Client(process.runtime)
        """The client of the daemon (docs/control.md), for what has no verb here."""

    def __repr__(self) -> str:
        return f"<Server {self._process.runtime}>"

    @property
    def url(self) -> str:
        """The address of the first listener, without a slash at its end: `http://127.0.0.1:41237`."""
        host, port = self.address()
        return f"{self._scheme}://{host}:{port}"

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self.address()[1]

    def address(self, listener: str | None = None) -> tuple[str, int]:
        """Return host and port of a listener; without a name of the first one. Raises UsageError for a Unix socket."""
        found = self._bound(listener)
        if isinstance(found, str):
            raise UsageError(f"the listener {listener or 'of this server'} is a Unix socket: use server.path()")
        return found

    def path(self, listener: str | None = None) -> str:
        """Return the path of a Unix socket; without a name of the first listener. Raises UsageError for a port."""
        found = self._bound(listener)
        if not isinstance(found, str):
            raise UsageError(f"the listener {listener or 'of this server'} has a port: use server.address()")
        return found

    @property
    def directory(self) -> str:
        """The daemon's runtime directory: `prefork status -n DIRECTORY` shows it while a test waits in a debugger."""
        return self._process.runtime

    @property
    def pid(self) -> int:
        """The pid of the master."""
        return int(self.status()["pid"])

    @property
    def log(self) -> str:
        """What the daemon, its molds and its workers have written to their standard streams so far."""
        return self._process.log.text()

    def log_end(self) -> str:
        """Return the last lines of the log, for a report."""
        return self._process.log.end()

    def status(self) -> Status:
        """Return the state of the daemon (docs/control.md)."""
        with self._alive():
            return self.client.status()

    def events(self, event: str | None = None, slot: str | None = None) -> list[Event]:
        """Return the recent events, oldest first: those called `event`, and those about `slot` (docs/control.md)."""
        return [
            each for each in self.client.events() if event in (None, each["event"]) and slot in (None, each.get("slot"))
        ]

    def reload(self, timeout: float | None = None) -> str:
        """Import the application again and replace every worker; return the outcome.

        Raises CommandFailedError with the application's traceback; the old workers then serve on.
        """
        return self._command("reload", timeout)

    def replan(self, timeout: float | None = None) -> str:
        """Compute the plan again, importing nothing, and apply the difference; return the outcome."""
        return self._command("replan", timeout)

    def restart(self, slot: str, timeout: float | None = None) -> str:
        """Replace the worker of one slot, new before old; return the outcome."""
        return self._command("restart", timeout, slot=slot)

    def scale(self, size: int | Literal["auto"], pool: str | None = None, timeout: float | None = None) -> str:
        """Set the number of workers of a pool (None: the default one); "auto" is the plan's. Returns the outcome."""
        return self._command("scale", timeout, pool=pool, size=None if size == "auto" else size)

    def upgrade(self, timeout: float | None = None) -> str:
        """Replace the master's program in place, as after an update of prefork (docs/upgrade.md); return the outcome.

        The workers serve on, and the master keeps its pid.
        """
        return self._command("upgrade", timeout)

    def kill(self, slot: str, timeout: float | None = None) -> int:
        """Kill the worker of a slot by SIGKILL; return its pid once the daemon has noticed its end.

        Wait for its successor by `wait_for("2/2 ready")`.
        """
        return self._signalled(slot, signal.SIGKILL, "ended", timeout)

    def hang(self, slot: str, timeout: float | None = None) -> int:
        """Stop the worker of a slot by SIGSTOP, as one that hangs in the kernel; return its pid.

        After `hang_timeout` the daemon reports it, kills it and starts another one. `resume` lets it go on before.
        """
        return self._signalled(slot, signal.SIGSTOP, "stopped", timeout)

    def resume(self, slot: str, timeout: float | None = None) -> int:
        """Let a worker go on that `hang` has stopped; return its pid."""
        return self._signalled(slot, signal.SIGCONT, "continued", timeout)

    def wait_for(self, condition: str | Callable[[Status], object], timeout: float | None = None) -> None:
        """Wait for a state of the daemon.

        A text is one of "4/4 ready" (slots that are served, of how many), "web 4/4 ready" (of one pool), "web/1 ready"
        (or another state of docs/control.md), "generation 2" (and no change under way), "settled" (no change under way,
        and no old worker left); or several with commas. A function is called with the status.
        """
        holds = conditions.parse(condition) if isinstance(condition, str) else condition
        seconds = self._timeout if timeout is None else timeout
        with self._following(seconds) as events:
            end = monotonic() + seconds
            # Events up to here are part of the status that is read after them.
            seen = self._last_event()
            while not holds(status := self.status()):
                if monotonic() >= end:
                    raise self._late(f"wait_for({condition!r})", seconds, status)
                event = events.next(_RECHECK)
                while event is not None and event.get("number", seen + 1) <= seen:
                    event = events.next(_RECHECK)
                if events.hung_up:
                    raise self._gone()

    def metrics(self) -> dict[str, float]:
        """Return the daemon's own metrics (docs/metrics.md): `prefork_...{label="value"}` -> value.

        Those that the application counts itself are at its own `/metrics`, or its agent's.
        """
        from .driving.metrics import metrics

        with self._alive():
            return metrics(self.client)

    def load(
        self,
        rate: float = 200.0,
        path: str = "/",
        *,
        timeout: float | None = None,
        ask: Callable[[], object] | None = None,
    ) -> Load:
        """Return a load of `rate` requests a second on `path`, to be used in a `with` statement (see `Load`).

        `timeout`: seconds for each answer. `ask`: called for each request instead, for what is no HTTP; it fails by
        raising.
        """
        if not rate > 0:
            raise UsageError(f"load(): rate: {rate!r} is not a number of requests a second above 0")
        if not path.startswith("/"):
            raise UsageError(f"load(): path: {path!r} does not begin with a slash")
        return Load(self.place(path), rate=rate, timeout=self._timeout if timeout is None else timeout, ask=ask)

    def place(self, path: str = "/") -> Place:
        """Return where requests for this path go, for a `Load` of your own."""
        return Place(self._bound(None), path, self._scheme == "https")

    def stop(self, timeout: float | None = None) -> int:
        """Drain every worker and end the daemon; return its exit status: 0, or 4 if workers had to be killed."""
        seconds = self._timeout if timeout is None else timeout
        self.stopped = True
        self._command("stop", seconds)
        return self._process.wait(seconds)

    def _bound(self, listener: str | None) -> tuple[str, int] | str:
        """Return the address or the path of a listener; without a name of the first one. Raises UsageError."""
        sockets = self._process.sockets
        try:
            one = sockets[listener] if listener is not None else next(iter(sockets.values()))
        except (KeyError, StopIteration):
            raise UsageError(f"there is no listener {listener}; there are: {', '.join(sockets) or 'none'}") from None
        found: tuple[str, int] | str = one.getsockname()
        return found

    def _command(self, request: str, timeout: float | None, **more: object) -> str:
        seconds = self._timeout if timeout is None else timeout
        end = monotonic() + seconds
        try:
            with self._alive(), Connection(self.directory, seconds) as connection:
                return str(connection.command(request, None, **more)["text"])
        except (CommandFailedError, EndedError):
            raise
        except SystemFailure:
            if monotonic() < end:
                raise
            raise self._late(f"{request}()", seconds, self.status()) from None

    def _signalled(self, slot: str, number: int, noticed: str, timeout: float | None) -> int:
        """Send a signal to the worker of a slot, and wait until the daemon has noticed what it does."""
        seconds = self._timeout if timeout is None else timeout
        with self._following(seconds) as events:
            seen = self._last_event()  # Read before the pid: what happens to that process has a higher number.
            pid = self._pid_of(slot)
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # It has just ended by itself, which the daemon is about to notice.

            def is_noticed(event: Event) -> bool:
                return event["event"] == noticed and event.get("pid") == pid and event["number"] > seen

            if events.until(is_noticed) is None:
                raise self._gone() if events.hung_up else self._late(f"{slot}: {noticed}", seconds, self.status())
        return pid

    def _last_event(self) -> int:
        return max((event["number"] for event in self.events()), default=0)

    def _pid_of(self, slot: str) -> int:
        slots = {each["key"]: each for each in self.status()["slots"]}
        if slot not in slots:
            raise UsageError(f"there is no slot {slot}; there are: {', '.join(slots) or 'none'}")
        pid = slots[slot]["pid"]
        if pid is None:
            raise CommandFailedError(f"{slot} has no process: it is {slots[slot]['state']}; wait_for('{slot} ready')")
        return int(pid)

    @contextmanager
    def _following(self, seconds: float) -> Iterator[Following]:
        with self._alive(), Following(self.directory, monotonic() + seconds) as following:
            yield following

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Say of a daemon that is not running how it has ended."""
        try:
            yield
        except NotRunningError:
            raise self._gone() from None

    def _late(self, what: str, seconds: float, status: Status) -> DeadlineError:
        state = conditions.in_words(status)
        return DeadlineError(f"{what}: not within {seconds:g} s; the daemon has {state}; its log:\n{self.log_end()}")

    def _gone(self) -> EndedError:
        status = self._process.ended()
        how = "is ending" if status is None else f"has ended with exit status {status}"
        return EndedError(f"the daemon {how}; its log:\n{self.log_end()}")
