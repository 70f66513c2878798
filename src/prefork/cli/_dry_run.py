"""A plan without a daemon: start a mold as a master would, ask it once, and end it with all that it has started."""

from __future__ import annotations

import os
import select
import signal
from time import monotonic

from .._errors import SystemFailure
from .._linux import lifeline, stacks
from .._linux.channel import Channel
from .._linux.signals import NAMES
from .._linux.subreaper import become_subreaper
from .._master.births.start import Shared, described, start_mold
from .._master.children import child_pids
from .._report.sentences import ended
from .._wire import scoreboard
from .._wire.launch import MasterLaunch
from .._wire.messages import ComputePlan, MalformedMessage, Planned, StepFailed

_END_GRACE = 1.0
"""Seconds that the mold may take to end by itself."""


class Failed(SystemFailure):
    """The application failed; the message is its own."""


def planned(launch: MasterLaunch, timeout: float) -> Planned:
    """Return the answer of this launch's mold, within `timeout` seconds. Raises Failed; leaves no process behind."""
    interpreter, mold = described(launch)
    become_subreaper()  # So that processes which the application leaves become ours to end.
    reader, writer = lifeline.create()
    board, dumps = scoreboard.create(1), stacks.create()
    ours = os.dup(1)
    os.dup2(2, 1)  # Its output goes to standard error: ours may be read by a program.
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
    """Return its answer, or why there is none; empty text if the mold has ended."""
    channel.try_send(ComputePlan())
    waiting = select.poll()
    waiting.register(channel, select.POLLIN)
    if not waiting.poll(max(0, deadline - monotonic()) * 1000):
        return "importing the application took longer than --import-timeout: raise it"
    try:
        received = channel.receive()
    except MalformedMessage as error:
        return f"the process that imports the application sent an unreadable message: {error}"
    if received is None:
        return ""
    assert isinstance(received.message, Planned | StepFailed)
    return received.message


def _end(pid: int) -> int:
    """End the mold, whose channel is closed, and all that it has left; return its status, as subprocess does."""
    pidfd = os.pidfd_open(pid)
    select.select([pidfd], [], [], _END_GRACE)
    os.close(pidfd)
    os.killpg(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    while children := child_pids():
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)  # What it leaves in turn becomes our child now.
    return status
