"""Inspect and control a running daemon from another program, as the commands of `prefork` do.

    daemon = prefork.connect("chat")
    daemon.reload()                      # returns when every worker has been replaced; raises CommandFailedError
    print(daemon.status()["generation"])

Every call opens its own connection to the daemon's control socket (docs/control.md) and blocks until the outcome is
known. If the caller ends before that, the daemon still completes the command.
"""

from __future__ import annotations

import json
import os
import select
from collections.abc import Iterator
from io import FileIO
from typing import Any, Literal, TypedDict, Unpack, cast

from ._client.answers.event import Event as Event
from ._client.answers.report import Crash as Crash
from ._client.answers.report import Difference as Difference
from ._client.answers.report import Profile as Profile
from ._client.answers.report import Sampled as Sampled
from ._client.answers.report import Stacks as Stacks
from ._client.answers.report import Usage as Usage
from ._client.answers.status import Bake as Bake
from ._client.answers.status import Change as Change
from ._client.answers.status import Compared as Compared
from ._client.answers.status import Counts as Counts
from ._client.answers.status import Explanation as Explanation
from ._client.answers.status import Hello as Hello
from ._client.answers.status import Judged as Judged
from ._client.answers.status import ListenerState as ListenerState
from ._client.answers.status import MoldState as MoldState
from ._client.answers.status import Outcomes as Outcomes
from ._client.answers.status import PoolSize as PoolSize
from ._client.answers.status import ProcessState as ProcessState
from ._client.answers.status import SlotState as SlotState
from ._client.answers.status import Status as Status
from ._client.choice import Configured, Wish, choose
from ._client.connection import PATIENCE, Connection
from ._client.connection import Each as Each
from ._client.profile import checked as checked_profile
from ._client.profile import parsed
from ._client.search import Found, asked, search, searched
from ._errors import NotRunningError, SystemFailure, UsageError
from ._linux import regular_file
from ._linux.program import current_directory
from ._wire.places import CRASHES, PROFILES, given_in, numbers_in


class Judging(TypedDict, total=False):
    """The options of a judged reload (docs/judge.md); what is not given is the daemon's own."""

    judge: bool
    bake: float
    canary_share: int
    judge_min_requests: int
    judge_insufficient: Literal["hold", "pass", "fail"]


def connect(name: str | None = None) -> Client:
    """Return the client of a running daemon.

    `name` is the daemon's name or the path of its runtime directory. Without it the daemon in `$RUNTIME_DIRECTORY` is
    used, or the one that was started in the current directory (docs/control.md). Raises NotRunningError; UsageError if
    it cannot be told which one is meant.
    """
    return choice(name).client


class Choice:
    """A daemon that was chosen. `elsewhere`: it is the only one that runs, but in another directory."""

    def __init__(self, daemon: Found, elsewhere: bool = False) -> None:
        self.client = Client(daemon.place)
        self.daemon = daemon
        self.elsewhere = elsewhere


def choice(name: str | None, *, reads: bool = False) -> Choice:
    """Return the daemon that a command is for. `reads`: see `Wish`. Raises as `connect`."""
    given = given_in(os.environ)
    if name is None and given:
        return Choice(_in(given, f"no daemon is running in {given} ($RUNTIME_DIRECTORY)"))
    if name is not None and "/" in name:
        slot = "" if name[0] in "/." else f" (that is a directory; `prefork explain {name}` shows a slot)"
        return Choice(_in(name, f"no daemon is running in {name}{slot}"))
    here = current_directory()
    name = name or os.environ.get("PREFORK_NAME")
    wish = Wish(here, name, None if name else _configured(here), reads, searched(os.environ))
    found = choose(wish, search(os.environ, here))
    return Choice(found, elsewhere=name is None and not found.here)


class Client:
    """A running daemon, found by its runtime directory. Every error is a PreforkError."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def hello(self) -> Hello:
        """Return the daemon's `name`, its `pid` and the version of its `protocol`."""
        return cast(Hello, self._ask("hello"))

    def status(self, timeout: float | None = PATIENCE) -> Status:
        """Return the daemon's state (docs/control.md). Raises SystemFailure without an answer in `timeout` seconds."""
        status: Status = self._ask("status", timeout=timeout)["status"]
        return status

    def scoreboard(self) -> FileIO:
        """Return the memory file of the daemon's scoreboard (docs/scoreboard.md), to map and to close."""
        with self._connection(PATIENCE) as connection:
            connection.send("scoreboard")
            return connection.receive_descriptor()

    def explain(self, slot: str) -> Explanation:
        """Return the state of a slot (`slot`, None if it is no longer planned) and its recent `events`."""
        return cast(Explanation, self._ask("explain", slot=slot))

    def stacks(self, slot: str | None = None, force: bool = False) -> list[Stacks]:
        """Return the stacks of a slot's workers, or of all workers (docs/hangs.md).

        Healthy workers are not disturbed. An unresponsive worker has no stacks unless `force` is given, which may
        crash it. Raises CommandFailedError if the slot has no worker.
        """
        with self._connection(None) as connection:
            connection.send("stacks", slot=slot, force=force)
            found: list[Stacks] = connection.outcome(connection.receive())["data"]
        return found

    def profile(self, which: str, seconds: float = 10, rate: int = 100, idle: bool = False) -> Profile:
        """Return a profile of a slot's worker, or of all workers of a pool, after `seconds` (docs/profile.md).

        `rate`: samples a second; `idle`: threads that wait count, too. Raises CommandFailedError, with the reason.
        """
        with self._connection(PATIENCE) as connection:
            connection.send("profile", slot=which, seconds=seconds, rate=rate, idle=idle)
            with connection.receive_descriptor() as file:
                return parsed(file)

    def kept_profile(self, number: int) -> Profile:
        """Return a profile that was taken by itself. Raises CommandFailedError if it is none, or not whole yet."""
        try:
            return checked_profile(regular_file.read(f"{self.directory}/{PROFILES}/{number}.json"))
        except PermissionError:
            raise SystemFailure(f"no permission to read the profiles in {self.directory}") from None
        except OSError:
            numbers = ", ".join(map(str, sorted(numbers_in(f"{self.directory}/{PROFILES}")))) or "none"
            raise SystemFailure(f"no profile {number}; there are {numbers}") from None

    def crashes(self) -> list[Crash]:
        """Return the recent crash reports, oldest first (docs/hangs.md)."""
        found = []
        for number in sorted(numbers_in(f"{self.directory}/{CRASHES}")):
            try:
                found.append(self.crash(number))
            except SystemFailure:
                pass  # Deleted meanwhile for a later one.
        return found

    def crash(self, number: int) -> Crash:
        """Return the crash report of a number. Raises SystemFailure if it does not exist or cannot be read."""
        try:
            report: Crash = json.loads(regular_file.read(f"{self.directory}/{CRASHES}/{number}.json"))
        except PermissionError:
            raise SystemFailure(f"no permission to read the crash reports in {self.directory}") from None
        except (OSError, ValueError):
            raise SystemFailure(f"no crash report {number}; `prefork crashes` lists them") from None
        return report

    def events(self, follow: bool = False) -> Iterator[Event]:
        """Yield the recent events, oldest first, and with `follow` every new one until the daemon ends.

        If the caller reads too slowly, an event `lost` gives the number of missing ones.
        """
        with self._connection(None) as connection:
            connection.send("events", follow=follow)
            if not follow:
                connection.finish_sending()
            connection.outcome(connection.receive())
            while (event := connection.receive()) is not None:
                yield cast(Event, event)

    def reload(self, each: Each | None = None, **judging: Unpack[Judging]) -> str:
        """Import the application again and replace every worker. Returns the outcome; raises CommandFailedError.

        `judging`: the options of a judged reload (docs/judge.md), for this one.
        """
        return self._command("reload", each, **judging)

    def back(self, each: Each | None = None) -> str:
        """Return to the generation before, without an import, or withdraw a reload. Returns and raises as `reload`."""
        return self._command("back", each)

    def replan(self, each: Each | None = None) -> str:
        """Compute the plan again, importing nothing, and apply the difference. Returns and raises as `reload`."""
        return self._command("replan", each)

    def restart(self, slot: str, each: Each | None = None) -> str:
        """Replace the worker of one slot. Returns and raises as `reload`."""
        return self._command("restart", each, slot=slot)

    def scale(self, pool: str | None, size: int | Literal["auto"], each: Each | None = None) -> str:
        """Set the number of workers of a pool (None: the default pool); "auto" is the number in the plan.

        Returns and raises as `reload`; UsageError for an invalid size.
        """
        if size != "auto" and (type(size) is not int or size < 0):
            raise UsageError(f"invalid pool size {size!r}; give a number of workers or auto")
        return self._command("scale", each, pool=pool, size=None if size == "auto" else size)

    def plan(self, of: Literal["reload", "replan"] = "reload", each: Each | None = None) -> Difference:
        """Return what a reload or a replan would change; change nothing. Raises CommandFailedError."""
        with self._connection(None) as connection:
            answer = connection.command("plan", each, of=of)
        return cast(Difference, {"text": answer["text"], **answer["data"]})

    def stop(self, each: Each | None = None) -> str:
        """Drain every worker and end the daemon; returns when its master has ended. Raises CommandFailedError."""
        with self._connection(None) as connection:
            master = connection.master()
            try:
                text = str(connection.command("stop", each)["text"])
                ended = select.poll()
                ended.register(connection.socket if master is None else master, select.POLLIN)
                ended.poll()
            finally:
                if master is not None:
                    os.close(master)
        return text

    def upgrade(self, each: Each | None = None) -> str:
        """Replace the program of the master by the one that is installed now; the workers stay.

        Returns the outcome, from the new program, and raises CommandFailedError, from the former one.
        """
        return self._command("upgrade", each)

    def _connection(self, timeout: float | None) -> Connection:
        return Connection(self.directory, timeout)

    def _ask(self, request: str, timeout: float | None = 5.0, **more: object) -> dict[str, Any]:
        with self._connection(timeout) as connection:
            connection.send(request, **more)
            return connection.outcome(connection.receive())

    def _command(self, request: str, each: Each | None, **more: object) -> str:
        with self._connection(None) as connection:
            return str(connection.command(request, each, **more)["text"])


def _in(directory: str, otherwise: str) -> Found:
    """Return the daemon in a runtime directory. Raises NotRunningError; SystemFailure without permission."""
    for found in asked([directory]):
        if found.refused and not found.pid:
            raise SystemFailure(f"no permission to connect to the daemon in {directory}")
        return found
    raise NotRunningError(otherwise)


def _configured(here: str | None) -> Configured | None:
    """Return the daemon that `prefork run` would start here, if it is configured. Raises UsageError."""
    configured = any(variable.startswith("PREFORK_") for variable in os.environ)
    if not configured and not any(map(os.path.exists, ("prefork.toml", "pyproject.toml"))):
        return None
    # Here: this import takes longer than all the rest.
    from ._options.table import daemon_here, resolve

    directory = here or "."
    try:
        name, target = daemon_here(os.environ, directory)
        if name is None:
            resolve({}, os.environ, directory)  # Raises for a mistake that may hide the name.
            return None
        return Configured(name, target)
    except UsageError as error:
        raise UsageError(f"{error}; or choose the daemon with -n NAME") from None
