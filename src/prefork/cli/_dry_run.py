"""A plan without a daemon: a mold is started as a master would start it, asked once, and ended with all it has left."""

from __future__ import annotations

import os
import select
import signal
from time import monotonic

from .._errors import SystemFailure
from .._linux import lifeline, stacks
from .._linux.channel import Channel
from .._linux.signals import NAMES
from .._master.births.start import Shared, described, start_mold
from .._master.children import become_subreaper, child_pids
from .._report.sentences import ended
from .._wire import scoreboard
from .._wire.launch import MasterLaunch
from .._wire.messages import ComputePlan, MalformedMessage, Planned, StepFailed

_END_GRACE = 1.0
"""How long, in seconds, the mold may take to end by itself."""


class Failed(SystemFailure):
    """The application failed; the words are its own."""


def planned(launch: MasterLaunch, timeout: float) -> Planned:
    """Return what the mold of this launch answers within so many seconds. Raises Failed; leaves nothing running."""
    interpreter, mold = described(launch)
    become_subreaper()  # What the application starts and leaves comes to us, and so to its end.
    reader, writer = lifeline.create()
    board, dumps = scoreboard.create(1), stacks.create()
    ours = os.dup(1)
    os.dup2(2, 1)  # What it prints is not what we print, which may be for a program to read.
    try:
        pid, channel = start_mold(interpreter, mold, Shared(reader, board, dumps))
        try:
            answer = _ask(channel, monotonic() + timeout)
        finally:
            channel.close()
            status = _end(pid)
    finally:
        os.dup2(ours, 1)
        for descriptor in ours, reader, writer, board, dumps:
            os.close(descriptor)
    match answer:
        case Planned():
            return answer
        case StepFailed(_, text):
            raise Failed(text)
    raise Failed(answer or f"the process that imports the application {ended(status, NAMES)}")


def _ask(channel: Channel, deadline: float) -> Planned | StepFailed | str:
    """Return its answer; text where there is none, empty where it has ended."""
    channel.try_send(ComputePlan())
    waiting = select.poll()
    waiting.register(channel, select.POLLIN)
    if not waiting.poll(max(0, deadline - monotonic()) * 1000):
        return "importing the application took too long: --import-timeout gives it more time"
    try:
        received = channel.receive()
    except MalformedMessage as error:
        return f"the process that imports the application said nothing that can be read: {error}"
    if received is None:
        return ""
    assert isinstance(received.message, Planned | StepFailed)
    return received.message


def _end(pid: int) -> int:
    """End the mold, which has been told, and whatever else there is; return its status, as subprocess gives it."""
    pidfd = os.pidfd_open(pid)
    select.select([pidfd], [], [], _END_GRACE)
    os.close(pidfd)
    os.killpg(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    while children := child_pids():
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)  # What it leaves in its turn comes to us now.
    return status
