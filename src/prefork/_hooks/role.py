"""The role of this process: its own program, or a worker of a master.

A role is believed only together with its descriptor: `PREFORK=worker:7` means something only where descriptor 7 is a
sealed memfd of ours. Both are taken when prefork is imported, so that nothing the application starts can think itself
a worker.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .._errors import UsageError
from .._linux import lifeline, memfd, place
from .._records.members import asdict
from .._records.record import record

ENVIRONMENT_KEY = "PREFORK"
_MEMFD = "prefork-launch"
_REASON_BYTES = 600
"""A report must fit into PIPE_BUF, as only such a write into a shared pipe is never mixed with another's. JSON may make
six bytes of one."""


ORPHAN_GRACE = 10.0
"""Seconds that a worker may take to end after its master's death, as those of a `Daemon` by default."""


@record
class WorkerLaunch:
    """What a master passes to the program that it executes as a worker, besides the encoded context."""

    key: str
    lifeline: int
    reports: int
    descriptors: Sequence[int]

    def seal(self, context: bytes) -> int:
        """Return a sealed memfd with this launch and the context. Raises UsageError where no worker would read it."""
        data = json.dumps(asdict(self)).encode() + b"\n" + context
        if len(data) > memfd.LIMIT:
            raise UsageError(
                f"worker {self.key}: its context has {len(context)} bytes, and no more than {memfd.LIMIT} can be sent "
                "in all: give it the name of a file that holds the rest"
            )
        return memfd.write(_MEMFD, data)


@record
class WorkerRole:
    """This process is a worker."""

    launch: WorkerLaunch
    context: bytes

    def taken(self) -> None:
        """Report to the master that the context has been decoded."""
        _report(self.launch.reports, reason=None)

    def refused(self, reason: str) -> None:
        """Report to the master that the context cannot be decoded, and why."""
        _report(self.launch.reports, reason=reason.encode("utf-8", "replace")[:_REASON_BYTES].decode("utf-8", "ignore"))


@record
class FalseRole:
    """`PREFORK` is set, but no master has set it."""

    value: str

    @property
    def complaint(self) -> str:
        """The error's text."""
        return f"PREFORK={self.value} is set in the environment, but no master has started this process: unset it"


@record
class TakenRole:
    """This process is a worker, and has taken its context. `reports`: the pipe, until it has said that it is ready."""

    key: str
    reports: list[int]

    @property
    def complaint(self) -> str:
        """The error's text for a second `take`."""
        return f"this process is the worker {self.key} already: call default_main() once"

    def ready(self) -> None:
        """Report to the master that this worker is ready; again, and in a child that it has forked, do nothing."""
        try:
            reports = self.reports.pop()  # Atomic: of several threads one reports.
        except IndexError:
            return
        _report(reports, reason=None, ready=True)
        os.close(reports)


def claim() -> WorkerRole | FalseRole | None:
    """Take the role that this process was started in out of its environment; None for an ordinary program."""
    value = os.environ.pop(ENVIRONMENT_KEY, None)
    if value is None:
        return None
    name, _, number = value.partition(":")
    try:
        data = memfd.read(int(number), _MEMFD) if name == "worker" else b""
        header, _, context = data.partition(b"\n")
        role = WorkerRole(WorkerLaunch(**json.loads(header)), context)
    except (ValueError, OSError, TypeError, OverflowError):
        return FalseRole(value)
    os.close(int(number))
    _settle(role.launch)
    return role


def _report(reports: int, **words: str | bool | None) -> None:
    line = json.dumps({"pid": os.getpid(), **words}, ensure_ascii=False) + "\n"
    try:
        os.write(reports, line.encode())
    except BrokenPipeError:
        pass  # The master has just died; the lifeline says so.


def print_by_line() -> None:
    """Flush standard output at each line, so that nothing printed comes late or is lost when this process is killed."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def _settle(launch: WorkerLaunch) -> None:
    """Set up this process as a worker, before any application code that follows `import prefork` runs."""
    for descriptor in (launch.reports, *launch.descriptors):
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # INT ends a worker without a traceback. The master started us with it blocked, since a Ctrl-C while the interpreter
    # was still starting would have left a KeyboardInterrupt on the terminal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    lifeline.arm(launch.lifeline, signal.SIGTERM)
    lifeline.arm_last(launch.lifeline, ORPHAN_GRACE)
    os.close(launch.lifeline)
    print_by_line()


@record
class MasterRole:
    """This process is a master, and calls hooks."""

    complaint: str = "a master runs in this process already: call default_main() once, and not in a hook"
    """The error's text for `take`."""


CLAIMED: WorkerRole | FalseRole | TakenRole | MasterRole | None = claim()
"""The role of this process, taken out of its environment when prefork is first imported."""


@contextmanager
def master() -> Iterator[None]:
    """Be a master meanwhile."""
    global CLAIMED
    CLAIMED = MasterRole()
    try:
        yield
    finally:
        CLAIMED = None


def belongs_to_master() -> bool:
    """Return whether this process is a master that calls hooks, or a worker of one."""
    return CLAIMED is not None and not isinstance(CLAIMED, FalseRole)


def take(call: str) -> WorkerRole | None:
    """Return the role of a worker, once; None where `call` may start a master.

    Raises UsageError for any other role, and MisplacedError in the processes of a `Daemon`.

    Its descriptors are closed after use, and their numbers then become those of the application's own files.
    """
    global CLAIMED
    place.check(call)
    found = CLAIMED
    if isinstance(found, (FalseRole, TakenRole, MasterRole)):
        raise UsageError(found.complaint)
    if found is not None:
        CLAIMED = TakenRole(found.launch.key, [found.launch.reports])
    return found
