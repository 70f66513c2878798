"""The last step of the launch: this process becomes the daemon's master by exec, with the same pid.

The master runs no application code, and this process may have imported some. So it executes the master's own program
(`_master/program.py`) in its place, in an interpreter that runs nothing of the environment (`-I -S`).
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Collection
from typing import Any, NoReturn

from .._errors import InternalError, SystemFailure, UsageError
from .._linux import descriptors, memfd
from .._linux.program import Program
from .._linux.subreaper import become_subreaper
from .._options.records import DaemonOptions
from .._records.members import replace
from .._wire.launch import MasterLaunch, encode
from . import inherited


def launch_of(name: str, target: dict[str, Any], program: Program, options: DaemonOptions) -> MasterLaunch:
    """Return the launch of a daemon's master. Raises UsageError where there is no program to run again."""
    program.check()
    environ = dict(program.environ)
    stored = inherited.stored(environ)
    return MasterLaunch(
        name=name,
        target=target,
        command=(program.interpreter, *program.command.options),
        argv=tuple(sys.argv),
        directory=program.directory,
        sockets=inherited.sockets(environ),
        stored=stored,
        manager=inherited.manager(environ),
        environ=environ,
        place=program.place(),
        runs=program.typed(),
        options=options,
    )


def become_master(launch: MasterLaunch) -> NoReturn:
    """Execute the master's program in this process's place. Raises UsageError and SystemFailure; else never returns."""
    title = importlib.util.find_spec("setproctitle")
    if title is None or title.origin is None:
        raise UsageError("setproctitle is not installed: pip install setproctitle")
    # The package directory that contains it, or the directory of a single extension module.
    parent = os.path.dirname(title.origin)
    libraries = os.path.dirname(parent) if title.submodule_search_locations else parent
    become_subreaper()  # The master's, since exec keeps it: the master would have to import ctypes.
    descriptor = memfd.write("prefork-master", encode(replace(launch, libraries=libraries)))
    _leave_as_found(launch.directory, (*launch.sockets.numbers, *launch.stored.values()))
    os.set_inheritable(descriptor, True)
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    arguments = [sys.executable, "-I", "-S", os.path.join(package, "_master", "program.py"), str(descriptor)]
    try:
        os.execve(sys.executable, arguments, launch.environ)
    except OSError as error:
        raise InternalError(f"the master's program cannot be executed: {error}") from error


def _leave_as_found(directory: str | None, kept: Collection[int]) -> None:
    """Undo what exec does not: full streams, the signal mask, ignored signals, timers, inheritable descriptors.

    The descriptors in `kept` stay inheritable, for the master.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    for number in signal.valid_signals():
        # HUP may be ignored because of nohup, INT because of a shell's background job: the caller's choice stays.
        if signal.getsignal(number) is signal.SIG_IGN and number not in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    descriptors.close_on_exec(kept)
    if directory is not None:
        try:
            os.chdir(directory)
        except OSError as error:
            raise SystemFailure(f"the directory {directory} cannot be entered: {error.strerror}") from None
