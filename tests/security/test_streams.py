"""Standard streams of an application that is another user's: what it can open by name, and what it cannot read."""

from __future__ import annotations

import os
import re

import pytest

from security.hostile import needs_root
from support import Start
from system.daemons import HEAD, RUN
from system.other_user import AsNobody, anywhere, as_nobody

__all__ = ["anywhere"]  # A fixture.

pytestmark = [needs_root, pytest.mark.timeout(120)]

PROGRAM = """
import fcntl, errno, termios

@dataclass(frozen=True)
class Own(prefork.WorkerContext):
    id: int

daemon = prefork.Daemon("user")

@daemon.plan
def plan():
    return [Web(0), Own(0)]

@daemon.worker(Web)
def web(worker):
    live(worker)

@daemon.worker(Own, spawn="exec")
def own(worker):
    live(worker)

def live(worker):
    worker.ready()
    tell(worker.key)
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    worker.wait_draining()
"""

BY_NAME = """
def tell(who):
    for path in "/dev/stderr", "/dev/stdout", "/proc/self/fd/1", "/dev/fd/2":
        with open(path, "a") as file:  # As a logging handler does: appended to, and made where it is missing.
            file.write(f"{who} writes to {path}\\n")

tell("the mold")
"""


def test_captured_streams_can_be_opened_by_name(anywhere: Start) -> None:
    served = as_nobody(anywhere, HEAD + PROGRAM + BY_NAME + RUN)
    served.begin("--capture")
    for stream, of in ("err", ("/dev/stderr", "/dev/fd/2")), ("out", ("/dev/stdout", "/proc/self/fd/1")):
        lines = [
            rf"{re.escape(source)}.* writes to {path}$" for path in of for source in ("web/0", "own/0", "the mold")
        ]
        served.running.expect_each(lines, stream)
    assert served.stop() == 0


READS = """
def tell(who):
    found = []
    for descriptor in 0, 1, 2:
        mode = ("read", "write", "both")[fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE]
        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_NONBLOCK)
        found.append((mode, attempt(os.read, descriptor, 9)))
    for path in "/dev/tty", "/proc/self/fd/1", "/proc/self/fd/2", "PTY":
        found.append((path, attempt(os.open, path, os.O_RDONLY)))
    found.append(("type", attempt(fcntl.ioctl, 2, termios.TIOCSTI, b"x")))
    with open("THEIRS/notes", "a") as file:
        print(who, found, file=file)

def attempt(act, *arguments):
    try:
        return act(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]

tell("mold")
"""


def test_terminal_is_neither_read_nor_typed_at(anywhere: Start) -> None:
    """It is usually open for reading and writing, whichever stream it is."""
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    served: AsNobody = as_nobody(anywhere, (HEAD + PROGRAM + READS + RUN).replace("PTY", name))
    served.streams = f"<>{name} 2<>{name}"
    served.begin()
    os.write(ours, b"what root types\n")
    served.ready("web/0", "own/0")
    notes = (anywhere.directory / "theirs" / "notes").read_text().splitlines()
    assert {line.partition(" ")[0] for line in notes} == {"mold", "web/0", "own/0"}
    for line in notes:
        who, _, found = line.partition(" ")
        streams, opened = found.split("('/dev/tty'")
        assert streams.count("'both'") == 0, line
        assert streams.startswith("[('read', b''), ('write', 'EBADF'), ('write', 'EBADF')"), (who, line)
        assert re.fullmatch(r"(.*'E(NXIO|ACCES|PERM|IO)'\)){5}\]", "('/dev/tty'" + opened), line
    os.set_blocking(ours, False)
    os.read(ours, 65536)
    assert served.stop() == 0
    os.close(ours)
    os.close(theirs)
