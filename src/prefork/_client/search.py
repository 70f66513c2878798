"""The search for running daemons: the control sockets in the usual directories, each asked what its daemon is.

All are asked at once, with one deadline for all of them: a daemon that hangs must not delay the commands for others.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from glob import glob
from stat import S_ISDIR
from time import monotonic
from typing import Any

from .._linux.credentials import peer_of
from .._wire.places import PROTOCOL, SOCKET, given_in, searched_in

PATIENCE = 1.0
"""Seconds that all daemons together have for their answers."""

_AT_ONCE = 200
"""Sockets that are open at a time: any user may make more than this process may open."""

_LONGEST = 4096
"""Bytes of an answer, at most."""

_REQUEST = json.dumps({"protocol": PROTOCOL, "request": "hello"}).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Found:
    """A daemon whose master lives. `place` is its runtime directory.

    `answers`: False if it did not in time; then `name` is that of its runtime directory, and its own figures are None.
    `here`: whether it was started in the searcher's directory, by name or as the same directory by another name.
    `refused`: this user may not connect to it, and it may not even be running.
    """

    place: str
    uid: int = 0
    pid: int = 0
    name: str = ""
    answers: bool = False
    refused: bool = False
    directory: str | None = None
    here: bool = False
    target: str = ""
    model: str = ""
    ready: int | None = None
    wanted: int | None = None
    started: float | None = None
    stopping: bool = False

    def is_called(self, name: str) -> bool:
        """Whether a command may call it so: by its own name, or by that of its runtime directory."""
        return self.name == name or self.has_directory_called(name)

    def has_directory_called(self, name: str) -> bool:
        """Whether its runtime directory is called so."""
        return os.path.basename(self.place) == name


def search(environ: Mapping[str, str], here: str | None = None, everyone: bool = False) -> list[Found]:
    """Return the running daemons that this user may control, by name and directory.

    `here` is the directory that they are compared with. `everyone`: those of all users, for root.
    """
    places = list(_places(environ, everyone))
    found: list[Found] = []
    for first in range(0, len(places), _AT_ONCE):
        found += asked(places[first : first + _AT_ONCE])
    return sorted((_located(each, here) for each in found), key=lambda each: (each.name, each.place))


def searched(environ: Mapping[str, str], everyone: bool = False) -> list[str]:
    """Return the directories that are searched."""
    given = given_in(environ)
    return [*([given] if given else []), *_homes(environ, everyone)]


def _homes(environ: Mapping[str, str], everyone: bool) -> list[str]:
    usual = searched_in(environ)
    others = [*glob("/run/user/*/prefork"), *glob("/tmp/prefork-*")] if everyone else []
    return [*usual, *sorted(set(others) - set(usual))]


def _places(environ: Mapping[str, str], everyone: bool) -> Iterator[str]:
    """Yield each runtime directory, once.

    The directory around it belongs to this user or to root, who alone can make an entry there: another user could
    pretend to be our daemon. The daemon itself may be another user's, where a service manager has made its directory.
    """
    trusted = (0, os.geteuid())
    given, seen = given_in(environ), set()
    if given and (status := _status(given)) is not None:
        seen.add((status.st_dev, status.st_ino))
        yield given
    for home in _homes(environ, everyone):
        status = _status(home)
        if status is None or not S_ISDIR(status.st_mode) or not (everyone or status.st_uid in trusted):
            continue
        with suppress(OSError):  # It may be closed to this user, or no directory.
            for name in sorted(os.listdir(home)):
                inner = _status(f"{home}/{name}")
                if inner is not None and (inner.st_dev, inner.st_ino) not in seen:
                    seen.add((inner.st_dev, inner.st_ino))
                    yield f"{home}/{name}"


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)
    except OSError:
        return None


@dataclass(eq=False, slots=True)
class _Asked:
    """A connection, and what of its answer has come."""

    socket: socket.socket
    found: Found
    data: bytearray = field(default_factory=bytearray)


def asked(places: Iterable[str]) -> Iterator[Found]:
    """Yield the daemons in these runtime directories, those that are late last."""
    deadline = monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        for place in places:
            connection = _connection(place)
            if isinstance(connection, Found):
                yield connection
            elif connection is not None:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
        while selector.get_map() and (events := selector.select(max(0.0, deadline - monotonic()))):
            for key, _ in events:
                if _read(key.data):
                    selector.unregister(key.fileobj)
                    yield _answered(key.data)
        for key in list(selector.get_map().values()):
            key.data.socket.close()
            yield key.data.found


def _connection(place: str) -> _Asked | Found | None:
    """Return a connection that has asked; a daemon that has no room for one more; None where no master lives."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    directory = -1
    try:
        directory = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        connection.connect(f"/proc/self/fd/{directory}/{SOCKET}")  # The path may be too long for an address.
        pid, uid, _ = peer_of(connection)
        connection.send(_REQUEST)
        return _Asked(connection, Found(place, uid, pid, os.path.basename(place)))
    except OSError as error:
        connection.close()
        if isinstance(error, BlockingIOError):  # Its backlog is full: it has not accepted for long.
            return Found(place, os.stat(place).st_uid, 0, os.path.basename(place))
        if isinstance(error, PermissionError):
            return Found(place, name=os.path.basename(place), refused=True)
        return None
    finally:
        if directory >= 0:
            os.close(directory)


def _read(asked: _Asked) -> bool:
    """Read what has come; return whether the answer is complete, or nothing more will come."""
    try:
        data = asked.socket.recv(_LONGEST)
    except BlockingIOError:
        return False
    except OSError:
        data = b""
    asked.data += data
    done = not data or b"\n" in asked.data or len(asked.data) > _LONGEST
    if done:
        asked.socket.close()
    return done


def _answered(asked: _Asked) -> Found:
    """Return what a daemon has said of itself, as far as it has the right types: it may be another user's."""
    try:
        said = json.loads(asked.data)
    except ValueError:
        said = None
    found = asked.found
    if not asked.data and os.geteuid() not in (0, found.uid):
        return replace(found, refused=True)  # It closes the connections of users whom it does not serve.
    if not isinstance(said, dict) or said.get("ok") is not True:
        return found

    def text(name: str) -> str:
        value = said.get(name)
        return value if isinstance(value, str) else ""

    def number(name: str) -> Any:
        value = said.get(name)
        return value if type(value) in (int, float) else None

    return Found(
        found.place,
        found.uid,
        found.pid or number("pid") or 0,  # The kernel says 0 of a process in another pid namespace.
        text("name") or found.name,
        answers=True,
        directory=text("directory") or None,
        target=text("target"),
        model=text("model"),
        ready=number("ready"),
        wanted=number("wanted"),
        started=number("started"),
        stopping=said.get("stopping") is True,
    )


def _located(found: Found, here: str | None) -> Found:
    """Add where a daemon was started, and whether that is `here`."""
    directory = found.directory
    if directory is None and found.pid:  # It does not answer, or is of an older version.
        with suppress(OSError):
            directory = os.readlink(f"/proc/{found.pid}/cwd")
    return replace(found, directory=directory, here=_is_same(directory, here))


def _is_same(directory: str | None, here: str | None) -> bool:
    if directory is None or here is None:
        return False
    try:
        return directory == here or os.path.samefile(directory, here)
    except OSError:
        return False
