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
import socket
import struct
from collections.abc import Callable, Iterator
from io import FileIO
from types import TracebackType
from typing import Any, Literal

from ._errors import CommandFailedError, NotRunningError, SystemFailure, UsageError
from ._linux.credentials import peer_of
from ._wire.places import CRASHES, PROTOCOL, SOCKET, given_in, homes_in, numbers_in

Event = dict[str, Any]
"""An event, as docs/control.md lists them."""

Each = Callable[[Event], object]
"""Called with each event while a command is executed."""

_PATIENCE = 5
"""Seconds to wait for an answer that needs no work from the daemon."""

_TIMEVAL = struct.Struct("ll")  # struct timeval: seconds, microseconds


def connect(name: str | None = None) -> Client:
    """Return the client of a running daemon.

    `name` is the daemon's name or the path of its runtime directory. Without it the first of these is used:
    the daemon in `$RUNTIME_DIRECTORY`, the one that `prefork run` would start in the current directory (docs/run.md),
    the only one that is running. Raises NotRunningError; UsageError if several are running and none is named.
    """
    given = given_in(os.environ)
    if name is not None and "/" in name:
        return _first([name], f"no daemon is running in {name}")
    if name is None:
        if given:
            return _first([given], f"no daemon is running in {given} ($RUNTIME_DIRECTORY)")
        name = _configured()
        if name is None:
            return _only_one()
    places = [f"{home}/{name}" for home in _homes()]
    if given and _answers(given) and Client(given).hello()["name"] == name:
        places.insert(0, given)
    return _first(places, f"no daemon {name} is running" + _others())


class Client:
    """A running daemon, found by its runtime directory. Every error is a PreforkError."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def hello(self) -> dict[str, Any]:
        """Return the daemon's `name`, its `pid` and the version of its `protocol`."""
        return self._ask("hello")

    def status(self, timeout: float | None = _PATIENCE) -> dict[str, Any]:
        """Return the daemon's state (docs/control.md). Raises SystemFailure without an answer in `timeout` seconds."""
        status: dict[str, Any] = self._ask("status", timeout=timeout)["status"]
        return status

    def scoreboard(self) -> FileIO:
        """Return the memory file of the daemon's scoreboard (docs/scoreboard.md), to map and to close."""
        with _Connection(self.directory, _PATIENCE) as connection:
            connection.send("scoreboard")
            return connection.receive_descriptor()

    def explain(self, slot: str) -> dict[str, Any]:
        """Return the state of a slot (`slot`, None if it is no longer planned) and its recent `events`."""
        return self._ask("explain", slot=slot)

    def stacks(self, slot: str | None = None, force: bool = False) -> list[dict[str, Any]]:
        """Return the stacks of a slot's workers, or of all workers (docs/hangs.md).

        Healthy workers are not disturbed. An unresponsive worker has no stacks unless `force` is given, which may
        crash it. Raises CommandFailedError if the slot has no worker.
        """
        with _Connection(self.directory, None) as connection:
            connection.send("stacks", slot=slot, force=force)
            found: list[dict[str, Any]] = connection.outcome(connection.receive())["data"]
        return found

    def crashes(self) -> list[dict[str, Any]]:
        """Return the recent crash reports, oldest first (docs/hangs.md)."""
        found = []
        for number in sorted(numbers_in(f"{self.directory}/{CRASHES}")):
            try:
                found.append(self.crash(number))
            except SystemFailure:
                pass  # Deleted meanwhile for a later one.
        return found

    def crash(self, number: int) -> dict[str, Any]:
        """Return the crash report of a number. Raises SystemFailure if it does not exist or cannot be read."""
        try:
            with open(f"{self.directory}/{CRASHES}/{number}.json", encoding="utf-8") as file:
                report: dict[str, Any] = json.load(file)
        except PermissionError:
            raise SystemFailure(f"no permission to read the crash reports in {self.directory}") from None
        except (OSError, ValueError):
            raise SystemFailure(f"no crash report {number}; `prefork crashes` lists them") from None
        return report

    def events(self, follow: bool = False) -> Iterator[Event]:
        """Yield the recent events, oldest first, and with `follow` every new one until the daemon ends.

        If the caller reads too slowly, an event `lost` gives the number of missing ones.
        """
        with _Connection(self.directory, None) as connection:
            connection.send("events", follow=follow)
            if not follow:
                connection.finish_sending()
            connection.outcome(connection.receive())
            while (event := connection.receive()) is not None:
                yield event

    def reload(self, each: Each | None = None) -> str:
        """Import the application again and replace every worker. Returns the outcome; raises CommandFailedError."""
        return self._command("reload", each)

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

    def plan(self, of: Literal["reload", "replan"] = "reload", each: Each | None = None) -> dict[str, Any]:
        """Return what a reload or a replan would change; change nothing. Raises CommandFailedError."""
        with _Connection(self.directory, None) as connection:
            answer = connection.command("plan", each, of=of)
        return {"text": answer["text"], **answer["data"]}

    def stop(self, each: Each | None = None) -> str:
        """Drain every worker and end the daemon; returns when its master has ended. Raises CommandFailedError."""
        with _Connection(self.directory, None) as connection:
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

    def _ask(self, request: str, timeout: float | None = 5.0, **more: object) -> dict[str, Any]:
        with _Connection(self.directory, timeout) as connection:
            connection.send(request, **more)
            return connection.outcome(connection.receive())

    def _command(self, request: str, each: Each | None, **more: object) -> str:
        with _Connection(self.directory, None) as connection:
            return str(connection.command(request, each, **more)["text"])


class _Connection:
    """One connection to the control socket. `timeout`: seconds for each send and each receive, None for no limit."""

    def __init__(self, directory: str, timeout: float | None) -> None:
        self._directory = directory
        self._timeout = timeout

    def __enter__(self) -> _Connection:
        self.socket = _connected(self._directory)
        self.socket.settimeout(self._timeout)
        self._lines = self.socket.makefile("rb")
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        self._lines.close()
        self.socket.close()

    def send(self, request: str, **more: object) -> None:
        """Send one request."""
        message = {"protocol": PROTOCOL, "request": request, **more}
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except TimeoutError:
            raise self._late() from None
        except OSError:
            pass  # The daemon has hung up; its last message says why.

    def finish_sending(self) -> None:
        """Close the sending side: the daemon hangs up after its last message."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # ENOTCONN: the daemon has already hung up.

    def receive(self) -> dict[str, Any] | None:
        """Return the next message; None if the daemon has hung up. Raises SystemFailure after the timeout."""
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise self._late() from None
        except ConnectionResetError:
            line = b""
        if line.endswith(b"\n"):
            message: dict[str, Any] = json.loads(line)
            return message
        return None

    def outcome(self, message: dict[str, Any] | None) -> dict[str, Any]:
        """Return a positive reply. Raises CommandFailedError; SystemFailure if the daemon rejected the request."""
        if message is None:
            raise SystemFailure(self._why_hung_up())
        if message.get("ok") is True:
            return message
        text = str(message.get("text", "no reason given"))
        if message.get("error") == "failed":
            raise CommandFailedError(text)
        raise SystemFailure(f"the daemon in {self._directory} rejected the request (another version?): {text}")

    def receive_descriptor(self) -> FileIO:
        """Return the file whose descriptor comes with the reply."""
        try:
            line, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        except TimeoutError:
            raise self._late() from None
        except ConnectionResetError:
            line, descriptors = b"", []
        if not descriptors:
            self.outcome(json.loads(line) if line.endswith(b"\n") else None)
            raise SystemFailure(f"the daemon in {self._directory} did not send its scoreboard")
        return FileIO(descriptors[0])

    def command(self, request: str, each: Each | None, **more: object) -> dict[str, Any]:
        """Send a command, pass each event to `each`, return the reply."""
        self.send(request, events=each is not None, **more)
        while (message := self.receive()) is not None and "ok" not in message:
            if each is not None:
                each(message)
        return self.outcome(message)

    def master(self) -> int | None:
        """Return a pidfd of the daemon's master; None if it cannot be opened."""
        try:
            return os.pidfd_open(peer_of(self.socket)[0])
        except OSError:
            return None  # It is in another pid namespace, or has just ended: then the end of the connection has to do.

    def _late(self) -> SystemFailure:
        return _late(self._directory, self._timeout)

    def _why_hung_up(self) -> str:
        owner = _owner(self._directory)
        if owner is not None and os.geteuid() not in (0, owner):
            return f"no permission to control the daemon in {self._directory}: only user {owner} and root may"
        return f"the daemon in {self._directory} closed the connection: it has ended, or has too many clients"


def _late(directory: str, seconds: float | None) -> SystemFailure:
    return SystemFailure(f"the daemon in {directory} did not answer within {seconds:g} s")


def _connected(directory: str) -> socket.socket:
    """Return a connected socket. Raises NotRunningError; SystemFailure without permission or answer."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # For a stopped master with a full backlog: connect(2) of a non-blocking socket would fail at once.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(_PATIENCE, 0))
    place = -1
    try:
        place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        connection.connect(f"/proc/self/fd/{place}/{SOCKET}")  # The path may be too long for an address.
    except OSError as error:
        connection.close()
        if isinstance(error, BlockingIOError):
            raise _late(directory, _PATIENCE) from None
        if isinstance(error, PermissionError):
            raise SystemFailure(f"no permission to connect to the daemon in {directory}") from None
        raise NotRunningError(f"no daemon is running in {directory}") from None
    finally:
        if place >= 0:
            os.close(place)
    return connection


def _answers(directory: str) -> bool:
    """Whether a daemon is running there that this user can connect to."""
    try:
        _connected(directory).close()
    except SystemFailure:
        return False
    return True


def _first(places: list[str], otherwise: str) -> Client:
    """Return the first daemon that accepts a connection. Raises NotRunningError; SystemFailure without permission."""
    refusal: SystemFailure = NotRunningError(otherwise)
    for place in places:
        try:
            _connected(place).close()
        except NotRunningError:
            continue
        except SystemFailure as error:
            refusal = error
            continue
        return Client(place)
    raise refusal


def running() -> list[str]:
    """Return the runtime directories of all running daemons in the usual places."""
    found = []
    for home in _homes():
        try:
            names = sorted(os.listdir(home))
        except OSError:
            continue  # It does not exist, or is another user's.
        found += [f"{home}/{name}" for name in names if _answers(f"{home}/{name}")]
    return found


def _homes() -> list[str]:
    """Return the usual places; without those of another user, who could pretend to be our daemon there."""
    return [home for home in homes_in(os.environ) if _owner(home) in (0, os.geteuid())]


def _owner(directory: str) -> int | None:
    try:
        return os.stat(directory, follow_symlinks=False).st_uid
    except OSError:
        return None


def _only_one() -> Client:
    found = running()
    if len(found) > 1:
        names = ", ".join(os.path.basename(place) for place in found)
        raise UsageError(f"several daemons are running: {names}; choose one with -n NAME")
    if not found:
        raise NotRunningError("no daemon is running; start one with `prefork run`")
    return Client(found[0])


def _others() -> str:
    names = [os.path.basename(place) for place in running()]
    return f"; running: {', '.join(names)}" if names else ""


def _configured() -> str | None:
    """Return the name of the daemon that `prefork run` would start here, if it is configured. Raises UsageError."""
    configured = any(variable.startswith("PREFORK_") for variable in os.environ)
    if not configured and not any(map(os.path.exists, ("prefork.toml", "pyproject.toml"))):
        return None
    # Here: this import takes longer than all the rest.
    from ._options.table import daemon_here, resolve

    try:
        name = daemon_here(os.environ, os.getcwd())
        if name is None:
            resolve({}, os.environ, os.getcwd())  # Raises for a mistake that may hide the name.
        return name
    except UsageError as error:
        raise UsageError(f"{error}; or choose the daemon with -n NAME") from None
