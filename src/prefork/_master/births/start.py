"""Starting a mold: a new interpreter that has the application's rights before it runs anything."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from ..._linux import memfd
from ..._linux.channel import Channel
from ..._linux.descriptors import close_on_exec
from ..._records.members import replace
from ..._records.record import record
from ..._wire.agreement import agreement
from ..._wire.launch import Identity, MasterLaunch
from ..._wire.messages import MoldLaunch, StepFailed, encode
from ..channels.end import MasterEnd as MasterEnd  # For those who start a mold: it is what they get.
from ..forks.child import execute, forked
from ..forks.confine import become_user, without_agents
from ..passed.shared import Shared
from . import open_files

_AGREEMENT = agreement()  # Now: an update may replace the files of this version while it runs.


@record
class Interpreter:
    """What to execute: the interpreter with its options, its environment, and its identity (None: the master's).

    `open_files`: its soft limit of open files, None for the master's. `directory`: where the program was started.
    `new_privileges`: whether another identity than the master's may gain others by exec.
    """

    command: Sequence[str]
    environ: Mapping[str, str]
    identity: Identity | None = None
    open_files: int | None = None
    directory: str | None = None
    new_privileges: bool = False


def described(launch: MasterLaunch) -> tuple[Interpreter, MoldLaunch]:
    """Return how the molds of a daemon are started."""
    mold = MoldLaunch(
        application="prefork._mold.load:load",
        arguments=launch.target,
        generation=0,
        title=launch.name,
        spare_title="",
        share=launch.options.share if "share" in launch.fixed else "",
        argv=launch.argv,
        alone=False,
        captured=launch.options.capture,
    )
    environ = {**user_environ(launch), **launch.variables}
    interpreter = Interpreter(launch.command, environ, launch.identity, directory=launch.directory)
    return replace(interpreter, new_privileges=launch.new_privileges), mold


def user_environ(launch: MasterLaunch) -> Mapping[str, str]:
    """Return the environment of a child that has the application's user, without the variables for the application."""
    return launch.environ if launch.identity is None else without_agents(launch.environ)


def start_mold(
    interpreter: Interpreter, launch: MoldLaunch, shared: Shared, streams: tuple[int, ...] = ()
) -> tuple[int, MasterEnd]:
    """Start a mold; return its pid and the master's end of its channel.

    `streams`: its standard output and error, if not the master's. Privileges are dropped between fork and exec, not by
    the mold: before prefork's code a new interpreter runs code of the site packages and of the environment. A failure
    after the fork is sent over the channel, as StepFailed. Raises OSError if processes or descriptors have run out.
    """
    description = memfd.write("prefork-launch", encode(launch))
    try:
        ours, theirs = MasterEnd.made()
        passed = theirs.fileno(), description, shared.lifeline, shared.scoreboard, shared.stacks, shared.metrics
        pid = forked(lambda: _become_mold(interpreter, theirs, passed, streams))
        theirs.close()
    finally:
        os.close(description)
    return pid, ours


def _become_mold(interpreter: Interpreter, channel: Channel, passed: tuple[int, ...], streams: tuple[int, ...]) -> None:
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # What is typed at the terminal is for the master's user alone.
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
        _keep(passed)  # As this user: another one may not list the descriptors.
        if interpreter.directory is not None:
            with suppress(OSError):  # Removed or renamed: the current directory is still the one of the start.
                os.chdir(interpreter.directory)  # By name, since the name may lead to a new release by now.
        become_user(interpreter.identity, interpreter.new_privileges)
        if interpreter.open_files is not None:  # Last: what is open may be more than that.
            open_files.allow(interpreter.open_files)
        arguments = [*interpreter.command, "-m", "prefork._mold.program", *map(str, passed), _AGREEMENT]
        try:
            execute(arguments, interpreter.environ)
        except OSError as error:
            text = f"cannot execute {arguments[0]}: {error.strerror}: this release has no such interpreter"
            channel.send(StepFailed("start", text), wait=False)
    except BaseException as error:
        channel.send(StepFailed("start", f"{type(error).__name__}: {error}"), wait=False)
    os._exit(127)  # The master has the reason; by its status, too, this child is no mold that was done.


def _keep(passed: tuple[int, ...]) -> None:
    """Let only these and the standard streams pass the exec.

    The master may have inherited descriptors that any exec passes on: a listening socket of systemd in a mold and its
    workers would be a queue from which no process accepts.
    """
    for descriptor in passed:
        os.set_inheritable(descriptor, True)
    close_on_exec(passed)
