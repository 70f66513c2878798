"""See and steer a running daemon from another program: what the commands of `prefork` are made of.

    daemon = prefork.connect("chat")
    daemon.reload()                      # returns when every worker has been replaced; raises CommandFailedError
    print(daemon.status()["generation"])

Every call is a conversation of its own over the daemon's control socket (docs/control.md), and blocks until the outcome
is known. Where the caller goes away in the middle, the daemon goes on as if it had waited.
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
"""One thing that has happened, as docs/control.md lists them."""

Each = Callable[[Event], object]
"""Called with each event while a command is under way."""

_PATIENCE = 5
"""Seconds in which a daemon answers what it can answer at once."""

_TIMEVAL = struct.Struct("ll")  # struct timeval: seconds, microseconds


def connect(name: str | None = None) -> Client:
    """Return the client of a running daemon.

    `name` is its name, or the path of its runtime directory. Without one it is the daemon that `$RUNTIME_DIRECTORY`
    stands for, or that `prefork run` would start in the current directory (see docs/run.md), or the only one that runs.
    Raises NotRunningError, and UsageError where several run and none was named.
    """
    given = given_in(os.environ)
    if name is not None and "/" in name:
        return _first([name], f"no daemon runs in {name}")
    if name is None:
        if given:
            return _first([given], f"no daemon runs in {given}, which is $RUNTIME_DIRECTORY")
        name = _configured()
        if name is None:
            return _only_one()
    places = [f"{home}/{name}" for home in _homes()]
    if given and _answers(given) and Client(given).hello()["name"] == name:
        places.insert(0, given)
    return _first(places, f"no daemon {name} runs" + _others())


class Client:
    """One daemon, by its runtime directory. Whatever it raises is a PreforkError."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def hello(self) -> dict[str, Any]:
        """Return the daemon's `name`, its `pid` and the version of its `protocol`."""
        return self._ask("hello")

    def status(self, timeout: float | None = _PATIENCE) -> dict[str, Any]:
        """Return the daemon's state as docs/control.md describes it. Raises SystemFailure after `timeout` seconds."""
        status: dict[str, Any] = self._ask("status", timeout=timeout)["status"]
        return status

    def scoreboard(self) -> FileIO:
        """Return the open memory of the daemon's scoreboard (docs/scoreboard.md), to be mapped, and closed."""
        with _Conversation(self.directory, _PATIENCE) as conversation:
            conversation.say("scoreboard")
            return conversation.receive()

    def explain(self, slot: str) -> dict[str, Any]:
        """Return the state of one slot (`slot`, None where it is gone) and what happened to it lately (`events`)."""
        return self._ask("explain", slot=slot)

    def stacks(self, slot: str | None = None, force: bool = False) -> list[dict[str, Any]]:
        """Return where the threads of a slot's workers are, or of all workers (docs/hangs.md).

        Healthy ones do not mind. One that does not answer has no stacks, unless `force` takes the way that may end it.
        Raises CommandFailedError where there is no such slot with a worker.
        """
        with _Conversation(self.directory, None) as conversation:
            conversation.say("stacks", slot=slot, force=force)
            found: list[dict[str, Any]] = conversation.outcome(conversation.hear())["data"]
        return found

    def crashes(self) -> list[dict[str, Any]]:
        """Return the reports of the last workers that crashed, oldest first (docs/hangs.md)."""
        found = []
        for number in sorted(numbers_in(f"{self.directory}/{CRASHES}")):
            try:
                found.append(self.crash(number))
            except SystemFailure:
                pass  # It has made way for a later one.
        return found

    def crash(self, number: int) -> dict[str, Any]:
        """Return one crash report. Raises SystemFailure where there is none of this number."""
        try:
            with open(f"{self.directory}/{CRASHES}/{number}.json", encoding="utf-8") as file:
                report: dict[str, Any] = json.load(file)
        except (OSError, ValueError):
            raise SystemFailure(f"there is no crash report {number}, or it is not for this user to read") from None
        return report

    def events(self, follow: bool = False) -> Iterator[Event]:
        """Yield what has happened lately, oldest first, and with `follow` what happens from now on.

        Ends when the daemon does. An event `lost` says how many did not come, where the caller was too slow.
        """
        with _Conversation(self.directory, None) as conversation:
            conversation.say("events", follow=follow)
            if not follow:
                conversation.ask_no_more()
            conversation.outcome(conversation.hear())
            while (event := conversation.hear()) is not None:
                yield event

    def reload(self, each: Each | None = None) -> str:
        """Import the application anew and replace every worker. Returns what was done; raises CommandFailedError."""
        return self._command("reload", each)

    def replan(self, each: Each | None = None) -> str:
        """Compute the plan again, without importing anything, and apply the difference. Returns and raises likewise."""
        return self._command("replan", each)

    def restart(self, slot: str, each: Each | None = None) -> str:
        """Replace the worker of one slot. Returns and raises likewise."""
        return self._command("restart", each, slot=slot)

    def scale(self, pool: str | None, size: int | Literal["auto"], each: Each | None = None) -> str:
        """Give a pool (None: the default one) another size; "auto" is the plan's own.

        Returns and raises likewise, and UsageError for what is no size.
        """
        if size != "auto" and (type(size) is not int or size < 0):
            raise UsageError(f"{size!r} is no size for a pool: give a number of workers, or auto")
        return self._command("scale", each, pool=pool, size=None if size == "auto" else size)

    def plan(self, of: Literal["reload", "replan"] = "reload", each: Each | None = None) -> dict[str, Any]:
        """Return what a reload or a replan would change, and change nothing. Raises CommandFailedError."""
        with _Conversation(self.directory, None) as conversation:
            answer = conversation.command("plan", each, of=of)
        return {"text": answer["text"], **answer["data"]}

    def stop(self, each: Each | None = None) -> str:
        """Let every worker drain; returns when the daemon has ended, its master included. Raises CommandFailedError."""
        with _Conversation(self.directory, None) as conversation:
            master = conversation.master()
            try:
                text = str(conversation.command("stop", each)["text"])
                ended = select.poll()
                ended.register(conversation.socket if master is None else master, select.POLLIN)
                ended.poll()
            finally:
                if master is not None:
                    os.close(master)
        return text

    def _ask(self, request: str, timeout: float | None = 5.0, **more: object) -> dict[str, Any]:
        with _Conversation(self.directory, timeout) as conversation:
            conversation.say(request, **more)
            return conversation.outcome(conversation.hear())

    def _command(self, request: str, each: Each | None, **more: object) -> str:
        with _Conversation(self.directory, None) as conversation:
            return str(conversation.command(request, each, **more)["text"])


class _Conversation:
    """One connection. `timeout`: seconds that any single step may take."""

    def __init__(self, directory: str, timeout: float | None) -> None:
        self._directory = directory
        self._timeout = timeout

    def __enter__(self) -> _Conversation:
        self.socket = _connected(self._directory)
        self.socket.settimeout(self._timeout)
        self._lines = self.socket.makefile("rb")
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        self._lines.close()
        self.socket.close()

    def say(self, request: str, **more: object) -> None:
        """Send one request."""
        message = {"protocol": PROTOCOL, "request": request, **more}
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except TimeoutError:
            raise self._late() from None
        except OSError:
            pass  # It has hung up; what there is to be heard says why.

    def ask_no_more(self) -> None:
        """Have the daemon hang up when it has told everything."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # ENOTCONN: it has hung up already.

    def hear(self) -> dict[str, Any] | None:
        """Return the next message; None where the daemon has hung up. Raises SystemFailure when it is late."""
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
        """Return a reply that says yes. Raises CommandFailedError; SystemFailure where it was not even understood."""
        if message is None:
            raise SystemFailure(self._why_hung_up())
        if message.get("ok") is True:
            return message
        text = str(message.get("text", "no reason given"))
        if message.get("error") == "failed":
            raise CommandFailedError(text)
        raise SystemFailure(f"the daemon in {self._directory} does not take that (is it of another version?): {text}")

    def receive(self) -> FileIO:
        """Return the descriptor that comes with a reply."""
        try:
            line, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        except TimeoutError:
            raise self._late() from None
        except ConnectionResetError:
            line, descriptors = b"", []
        if not descriptors:
            self.outcome(json.loads(line) if line.endswith(b"\n") else None)
            raise SystemFailure(f"the daemon in {self._directory} has sent no scoreboard")
        return FileIO(descriptors[0])

    def command(self, request: str, each: Each | None, **more: object) -> dict[str, Any]:
        """Have something done; return the reply."""
        self.say(request, events=each is not None, **more)
        while (message := self.hear()) is not None and "ok" not in message:
            if each is not None:
                each(message)
        return self.outcome(message)

    def master(self) -> int | None:
        """Return a pidfd of the daemon's master; None where it cannot be had."""
        try:
            return os.pidfd_open(peer_of(self.socket)[0])
        except OSError:
            return None  # It is in another pid namespace, or has just ended: then its hanging up has to do.

    def _late(self) -> SystemFailure:
        return _late(self._directory, self._timeout)

    def _why_hung_up(self) -> str:
        owner = _owner(self._directory)
        if owner is not None and os.geteuid() not in (0, owner):
            return f"the daemon in {self._directory} does not talk to this user: it is steered by user {owner} and root"
        return f"the daemon in {self._directory} has hung up before it answered: it has ended, or many others ask"


def _late(directory: str, seconds: float | None) -> SystemFailure:
    return SystemFailure(f"the daemon in {directory} has not answered for {seconds:g} s")


def _connected(directory: str) -> socket.socket:
    """Raises NotRunningError, and SystemFailure where this user may not connect."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Where a stopped master's queue is full: connect(2) of a socket that does not block would not wait for room at all.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(_PATIENCE, 0))
    place = -1
    try:
        place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        connection.connect(f"/proc/self/fd/{place}/{SOCKET}")  # However long the directory's own name is.
    except OSError as error:
        connection.close()
        if isinstance(error, BlockingIOError):
            raise _late(directory, _PATIENCE) from None
        if isinstance(error, PermissionError):
            raise SystemFailure(f"the daemon in {directory} does not let this user connect") from None
        raise NotRunningError(f"no daemon runs in {directory}") from None
    finally:
        if place >= 0:
            os.close(place)
    return connection


def _answers(directory: str) -> bool:
    """Whether a daemon runs there that this user can connect to."""
    try:
        _connected(directory).close()
    except SystemFailure:
        return False
    return True


def _first(places: list[str], otherwise: str) -> Client:
    """Return the first that answers; raises NotRunningError, or SystemFailure where one is there and is not for us."""
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
    """Return the runtime directories of all daemons that run, as far as they are where they are looked for."""
    found = []
    for home in _homes():
        try:
            names = sorted(os.listdir(home))
        except OSError:
            continue  # There is none, or it is not for us to see.
        found += [f"{home}/{name}" for name in names if _answers(f"{home}/{name}")]
    return found


def _homes() -> list[str]:
    """Return where daemons are looked for: a stranger may have made one of these to be taken for a daemon of ours."""
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
        raise UsageError(f"several daemons run: {names}; say which one by its name")
    if not found:
        raise NotRunningError("no daemon runs")
    return Client(found[0])


def _others() -> str:
    names = [os.path.basename(place) for place in running()]
    return f"; there runs {', '.join(names)}" if names else ""


def _configured() -> str | None:
    """Return the name of the daemon that `prefork run` would start here, if anything says so. Raises UsageError."""
    told = any(variable.startswith("PREFORK_") for variable in os.environ)
    if not told and not any(map(os.path.exists, ("prefork.toml", "pyproject.toml"))):
        return None
    # Only where there is something to find: it takes longer than all else here.
    from ._options.table import daemon_here, resolve

    try:
        name = daemon_here(os.environ, os.getcwd())
        if name is None:
            resolve({}, os.environ, os.getcwd())  # Raises where what is wrong may have been meant for a name.
        return name
    except UsageError as error:
        raise UsageError(f"{error}; a daemon can be named, too: -n NAME") from None
