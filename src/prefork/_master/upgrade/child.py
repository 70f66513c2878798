"""A child that answers one question, with a deadline: where the next program is, and whether it can go on."""

from __future__ import annotations

import json
import os
import selectors
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..._linux.descriptors import close_on_exec
from ..._wire.printable import printable
from ..forks.child import execute, forked
from ..forks.confine import become_user

if TYPE_CHECKING:
    from ..births.processes import Processes
    from ..births.start import Interpreter
    from ..loop import Master

DEADLINE = 20.0
"""Seconds for an answer: an interpreter starts in a tenth of one, on a machine that has time for it."""

_MOST = 64 * 1024
"""Bytes of an answer, with what the child writes besides."""

Answer = Callable[[dict[str, Any], str], object]
"""Called once: with the answer, or with nothing and the reason."""


class Child:
    """One child at a time, in a session of its own, which is killed with all that it has started."""

    def __init__(self, master: Master, processes: Processes) -> None:
        self._master = master
        self._processes = processes
        self._answer: Answer | None = None
        self._output = b""
        self._pid = self._reader = 0

    def ask(self, program: Interpreter, passed: tuple[int, ...], answer: Answer) -> None:
        """Start the child, which gets the descriptors in `passed`; `answer` is called by the loop."""
        self._answer, self._output = answer, b""
        try:
            self._pid, self._reader = _started(program, passed)
        except OSError as error:
            reason = f"no process can be started: {error.strerror}"
            self._master.later(0, lambda: self._end({}, reason))
            return
        self._processes.add_helper(self._pid)
        self._master.selector.register(self._reader, selectors.EVENT_READ, self._read)
        pid = self._pid
        self._master.later(DEADLINE, lambda: self._late(pid))

    def _read(self) -> None:
        piece = os.read(self._reader, _MOST)
        self._output = (self._output + piece)[-_MOST:]
        if not piece:
            self._close()
            self._end(*_parsed(self._output))

    def _late(self, pid: int) -> None:
        if pid == self._pid and self._answer is not None:
            self._close()
            self._processes.kill_helper(pid)
            self._end({}, f"no answer within {DEADLINE:g} s")

    def _close(self) -> None:
        self._master.selector.unregister(self._reader)
        os.close(self._reader)

    def _end(self, answer: dict[str, Any], reason: str) -> None:
        then, self._answer = self._answer, None
        if then is not None:
            then(answer, reason)


def _parsed(output: bytes) -> tuple[dict[str, Any], str]:
    """Return the answer, a line of JSON; or the last line as the reason, such as that of a traceback."""
    lines = output.decode(errors="replace").strip().splitlines()
    for line in reversed(lines):
        with suppress(ValueError, RecursionError):  # Site packages may write anything at the end.
            answer = json.loads(line)
            if isinstance(answer, dict) and answer.get("ok") is True:
                return answer, ""
    return {}, printable(lines[-1] if lines else "the process ended without a word")[:1000]


def _started(program: Interpreter, passed: tuple[int, ...]) -> tuple[int, int]:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = forked(lambda: _become(program, passed, writer))
    except OSError:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return pid, reader


def _become(program: Interpreter, passed: tuple[int, ...], writer: int) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(writer, 1)
    os.dup2(writer, 2)
    for descriptor in passed:
        os.set_inheritable(descriptor, True)
    close_on_exec(passed)  # Above all no listening socket and no write end of the lifeline.
    if program.directory is not None:
        with suppress(OSError):  # Removed: the current directory is still the one of the start.
            os.chdir(program.directory)
    become_user(program.identity, program.new_privileges)
    try:
        execute(program.command, program.environ)
    except OSError as error:
        os.write(2, f"{program.command[0]} cannot be executed: {error.strerror}\n".encode())
