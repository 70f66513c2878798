"""A plan without a daemon: start a mold as a master would, ask it once, and end it with all that it has started."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic, sleep

from .._errors import SystemFailure
from .._linux import stacks
from .._linux.signals import NAMES
from .._linux.subreaper import become_subreaper
from .._master.births.start import MasterEnd, described, start_mold
from .._master.children import child_pids
from .._master.passed.shared import Shared
from .._master.paths.relied_on import checked
from .._master.watching.contents import Contents, Files, in_memory
from .._report.reports.import_report import place
from .._report.sentences import ended
from .._wire import plan_memory, scoreboard
from .._wire.frames import without_beneath
from .._wire.launch import MasterLaunch
from .._wire.messages import ComputePlan, Json, MalformedMessage, Message, Planned, StepFailed, Warming

_END_GRACE = 1.0
"""Seconds that the mold may take to end by itself."""
_WARMING_GRACE = 3.0
"""Seconds, besides the warming's own, that the mold may take to stop it."""
_POLL = 0.01


class Failed(SystemFailure):
    """The application failed; the message is its own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A plan, not yet checked, the mold's warnings, and what its import has started and a fork does not carry over."""

    plan: Json
    warnings: tuple[str, ...]
    lost: tuple[str, ...]


def planned(launch: MasterLaunch, timeout: float, warm: bool = False) -> Answer:
    """Return the answer of this launch's mold, within `timeout` seconds. Raises Failed; leaves no process behind.

    `warm`: it warms the application up, too, for as long as that may take besides.
    """
    interpreter, mold = described(checked(launch))
    try:
        contents = Files.of(launch).read()
    except OSError as error:
        raise Failed(error.strerror) from None
    become_subreaper()  # So that processes which the application leaves become ours to end.
    board, dumps = scoreboard.create(1), stacks.create()
    shared = Shared(board, dumps)
    ours = os.dup(1)
    os.dup2(2, 1)  # Its output goes to standard error: ours may be read by a program.
    try:
        pid, channel = start_mold(interpreter, replace(mold, warm=warm), shared)
        try:
            answer = _ask(channel, timeout, contents)
            if answer is None:
                answer = _late(pid, dumps)
        finally:
            channel.close()
            status = _end(pid)
    finally:
        os.dup2(ours, 1)
        shared.close()
        for descriptor in ours, board, dumps:
            os.close(descriptor)
    match answer:
        case Answer():
            return answer
        case StepFailed(_, text):
            raise Failed(text)
    raise Failed(answer or f"the process that imports the application {ended(status, NAMES)}")


def _ask(channel: MasterEnd, timeout: float, contents: Contents) -> Answer | StepFailed | str | None:
    """Return its answer, or why there is none; empty text if the mold has ended, None if the time is over."""
    memory = plan_memory.create()
    try:
        with suppress(BrokenPipeError, ConnectionResetError), in_memory(contents) as files:
            channel.send(ComputePlan(tuple(contents)), [memory, *files])
        waiting = select.poll()
        waiting.register(channel, select.POLLIN)
        patience = timeout
        while waiting.poll(patience * 1000):
            message = None if (told := channel.hear()) is None else told.message
            if not isinstance(message, Warming):
                return _answer(message, memory)
            patience = message.seconds + _WARMING_GRACE if message.seconds > 0 else timeout
        return None
    except MalformedMessage as error:
        return f"the process that imports the application sent an unreadable message: {error}"
    finally:
        os.close(memory)


def _answer(message: Message | None, memory: int) -> Answer | StepFailed | str:
    """Return the answer that a message is; empty text for none. Raises MalformedMessage."""
    match message:
        case None:
            return ""
        case Planned(size, warnings, lost):
            return Answer(plan_memory.read(memory, size), warnings, lost)
        case StepFailed():
            return message
    return f"the process that imports the application sent {type(message).__name__} instead of a plan"


def _late(pid: int, dumps: int) -> str:
    """Return that the import has taken too long, and where it is: a process without the handler ends by the signal."""
    os.kill(pid, stacks.FORCE)
    end, text = monotonic() + _END_GRACE, b""
    while monotonic() < end and (not text or len(text) < os.lseek(dumps, 0, os.SEEK_CUR)):
        text = os.pread(dumps, os.lseek(dumps, 0, os.SEEK_CUR), 0)
        sleep(_POLL)
    lines = place(without_beneath(text.decode("utf-8", "replace")))
    where = "\n".join(["; it is at (the innermost call first)", *(f"  {line}" for line in lines)]) if lines else ""
    return f"importing the application took longer than --import-timeout: raise it{where}"


def _end(pid: int) -> int:
    """End the mold, whose channel is closed, and all that it has left; return its status, as subprocess does."""
    deadline = monotonic() + _END_GRACE
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None and monotonic() < deadline:
        sleep(_POLL)
    os.killpg(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    while children := child_pids():
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)  # What it leaves in turn becomes our child now.
    return status
