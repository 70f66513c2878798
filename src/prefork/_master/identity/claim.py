"""A daemon's claim: an abstract Unix socket, the lock that no sweeper and no variable of the environment can move.

A runtime directory is chosen by the environment, and its files can be removed while the daemon runs: a second start
would find another lock, or none. A claim is named after the user and the program instead, and the kernel gives the name
back when the daemon's master ends, however it ends.

Any process may bind any name. So the kernel is asked which user a holder has (SO_PEERCRED): one of another user than
the name's is a stranger, who is named in the log and cannot keep a daemon from its start. The socket listens for that
only, and nothing is ever accepted: no connection wakes the master. Names are those of a network namespace; the number
of the pid namespace is in them, since containers of one image may share the host's network.
"""

from __future__ import annotations

import _socket as socket
import errno
import os
import time
from collections.abc import Callable

from ..._errors import UsageError
from ..._wire.agreement import fingerprint
from ..._wire.printable import printable
from .holder import Holder, holder_of, runtime_of
from .lock import Noted, noted_in, refusal

_BACKLOG = 4096
"""Connections of those who ask, which stay in the queue."""

_TRIES, _PAUSE = 20, 0.01
"""A name that is bound and not listened to is looked at again: its process may be about to listen, or to end."""


_ONLY = "only the lock file prevents a second start, in the same runtime directory"


class Claim:
    """What one daemon of a user holds from its start to its exit, and a second start of its program does not get."""

    def __init__(self, daemon: Noted, program: str, log: Callable[[str], object]) -> None:
        """Claim `program` (`_linux.program.Program.place`). Raises UsageError if a daemon has it.

        `log` writes that another user's process has the name.
        """
        self._daemon = daemon
        self._log = log
        self._sockets: list[socket.socket] = []
        own = os.geteuid()
        try:
            for place, others in _places(program, daemon.directory).items():
                self._take(own, place)
                users = {0, _status(program, "st_uid")} - {own}
                for uid, other in [*((each, place) for each in users), *((own, each) for each in others)]:
                    if (holder := holder_of(name_of(uid, daemon.name, other))) is not None and holder.uid == uid:
                        raise UsageError(_running(daemon, holder))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the names back."""
        while self._sockets:
            self._sockets.pop().close()

    def descriptors(self) -> list[int]:
        """Return the descriptors, which a fork of the master must close."""
        return [each.fileno() for each in self._sockets]

    def _take(self, uid: int, place: str) -> None:
        name, tries = name_of(uid, self._daemon.name, place), 0
        held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sockets.append(held)
        while True:
            try:
                held.bind(name)
                held.listen(_BACKLOG)
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    self._log(f"start: cannot claim the abstract socket {_shown(name)}: {error.strerror}; {_ONLY}")
                    return
            tries += 1
            holder = holder_of(name)
            if holder is None and tries < _TRIES:
                time.sleep(_PAUSE)
            elif holder is not None and holder.uid == uid:
                raise UsageError(_running(self._daemon, holder))
            elif holder is not None and holder.uid is None:
                raise UsageError(
                    f"the daemon {self._daemon.name} is already running, or a process keeps its name: "
                    f"`ss -xlp src {_shown(name)}` shows it, as root"
                )
            else:
                self._log(_stranger(name, holder))
                return


def _places(program: str, directory: str) -> dict[str, list[str]]:
    """Return what stands for a program that is started in a directory, with what no other daemon may stand for then.

    A file in or below the directory stands for itself, from wherever it is started. One program elsewhere, such as
    /usr/bin/chatd, may run in the directories of several sites. Both by the shell's names ($PWD) and by real paths,
    since a start without that variable knows only these.
    """
    places: dict[str, list[str]] = {}
    for file, where in ((program, directory), (os.path.realpath(program), os.path.realpath(directory))):
        below = f"{file}/".startswith(f"{where.rstrip('/')}/")
        places |= {file: []} if below else {f"{file}\n{where}": [file]}
    return places


def _running(daemon: Noted, holder: Holder) -> str:
    place = runtime_of(holder.pid)
    started = noted_in(place).directory if place else ""
    return refusal(daemon, Noted(daemon.name, started, str(holder.pid or "")), place, holder.uid)


def _stranger(name: bytes, holder: Holder | None) -> str:
    by = f"pid {holder.pid} of uid {holder.uid}" if holder is not None and holder.pid else "a process of another user"
    return (
        f"start: {by} keeps the abstract socket {_shown(name)}, by which a second start of this daemon is found; "
        f"end that process: {_ONLY}"
    )


def name_of(uid: int, name: str, place: str) -> bytes:
    """Return the abstract name, of at most 107 bytes."""
    space, number = _status("/proc/self/ns/pid", "st_ino"), fingerprint(os.fsencode(place))
    return f"\0prefork/{uid}/{space}/{number:016x}/{name}".encode(errors="replace")[:107]


def _shown(name: bytes) -> str:
    return printable(name.replace(b"\0", b"@").decode(errors="replace"))


def _status(path: str, field: str) -> int:
    """Return this field of a file's status, 0 where there is none."""
    try:
        return int(getattr(os.stat(path), field))
    except OSError:
        return 0
