"""Host names of listeners, looked up in a child process, since that can take as long as a name server likes.

The names are the application's, and the loop of the master must not wait for them. The child has the application's
user and no more rights than a worker, and a deadline.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..._core.plan import Listener
from ..._linux.address import parse
from ..._linux.descriptors import close_others
from ..forks.child import forked
from ..forks.confine import become_user
from .bind import ANY

if TYPE_CHECKING:
    from ..births.processes import Processes
    from ..births.start import Interpreter
    from ..loop import Master

DEADLINE = 10.0
"""Seconds for all names of a plan."""

_MOST = 64 * 1024
"""Bytes of the child's answer, which is a few names."""


Found = Mapping[str, str]
"""Host name -> its address as text; or, after a `!`, why it has none."""


class Names:
    """Looks up names, for one change of the listeners at a time and each at most `DEADLINE` seconds."""

    def __init__(self, master: Master, processes: Processes, interpreter: Interpreter) -> None:
        """`interpreter`: that of the application, whose user the child has."""
        self._master = master
        self._processes = processes
        self._interpreter = interpreter
        self.waiting: dict[int, Sequence[Listener]] = {}  # the pid of the child -> what is to be bound

    def look_up(self, listeners: Sequence[Listener], done: Callable[[Found], None]) -> None:
        """Call `done` with the names of these listeners, at once if there is none; not at all after `cancel`."""
        names = sorted({name for listener in listeners if (name := _name_in(listener))})
        if not names:
            done({})
            return
        try:
            pid, reader = self._ask(names)
        except OSError as error:
            done(dict.fromkeys(names, f"!no process to look the name up: {error.strerror}"))
            return
        self.waiting[pid] = listeners
        self._master.selector.register(reader, selectors.EVENT_READ, lambda: self._read(pid, reader, names, done))
        self._master.later(DEADLINE, lambda: self._processes.kill_helper(pid) if pid in self.waiting else None)

    def cancel(self, listeners: Sequence[Listener]) -> None:
        """Forget the names of these listeners, which are not to be bound any more."""
        for pid in [pid for pid, waiting in self.waiting.items() if set(waiting) & set(listeners)]:
            del self.waiting[pid]
            self._processes.kill_helper(pid)

    def _ask(self, names: Sequence[str]) -> tuple[int, int]:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            pid = forked(lambda: _answer(names, writer, self._interpreter))
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self._processes.add_helper(pid)
        return pid, reader

    def _read(self, pid: int, reader: int, names: Sequence[str], done: Callable[[Found], None]) -> None:
        self._master.selector.unregister(reader)
        data = os.read(reader, _MOST)  # It writes once, less than a pipe holds, and ends.
        os.close(reader)
        if self.waiting.pop(pid, None) is not None:
            done(_read_answer(data) or dict.fromkeys(names, f"!the name was not found within {DEADLINE:.0f} s"))


def _read_answer(data: bytes) -> Found:
    """Return the answer; nothing if the child was ended before it, or had more to say than fits."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and all(isinstance(each, str) for each in found.values()) else {}


def numeric(host: str, found: Found) -> str:
    """Return the address of a host as text. Raises OSError if its name has none."""
    address = found.get(host, host)
    if address.startswith("!"):
        raise OSError(errno.EADDRNOTAVAIL, address[1:])
    return address


def _name_in(listener: Listener) -> str:
    """Return the name that must be looked up for a listener; empty for none."""
    try:
        host = parse(listener.address).host
    except ValueError:
        return ""  # Refused when it is bound.
    if not host or host in ANY:
        return ""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except (OSError, ValueError):
            continue
        return ""
    return host


def _answer(names: Sequence[str], writer: int, interpreter: Interpreter) -> None:
    """Be the child."""
    close_others([writer])  # A successor must not wait for this process to have the lock, or the claim.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    become_user(interpreter.identity, interpreter.new_privileges)
    os.write(writer, json.dumps({name: _looked_up(name) for name in names}).encode()[:_MOST])


def _looked_up(name: str) -> str:
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:  # From the IDNA codec: a label that is empty or too long, or an invalid character.
        return f"!{name} is not a valid host name"
    except OSError as error:
        return f"!{error.strerror or error}"
    # IPv4 first: clients expect `localhost` at 127.0.0.1.
    return str(min(found, key=lambda each: each[0] != socket.AF_INET)[4][0])
