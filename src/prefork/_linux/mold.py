"""The mold: the process that imports the application, computes its plan, and forks workers on order.

    python -m prefork._linux.mold CHANNEL LAUNCH LIFELINE

started by `start_mold` and by nobody else; the arguments are descriptors. It has the rights that the
application is to have from its first instruction on. It does what the master says over the channel, one
thing at a time, and ends with it.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .._errors import InternalError
from . import lifeline, memfd, newborn, sharing, title
from .births import breed
from .channel import Channel
from .drain import Drain
from .failure import describe
from .wire import Breed, ComputePlan, Json, Launch, MalformedMessage, PlanFailed, Planned, decode

if TYPE_CHECKING:
    from .application import Application


_kept: list[Application] = []
"""What must not be given up before the interpreter's exit, see `Mold.run`."""


class Mold:
    """The loop of a mold."""

    def __init__(self, channel: Channel, launch: Launch, reader: int) -> None:
        self._channel = channel
        self._launch = launch
        self._reader = reader
        self._drain = Drain()
        self._planned = False

    def run(self) -> int:
        """The exit status: of the mold, or, in a newborn, of the worker that it has become."""
        application = self._load()
        if application is None:
            return 1
        # What hangs on it is not to be given up when this returns, but by the interpreter's exit: only there
        # are the finalizers of the mold's temporary directories disarmed in its workers.
        _kept.append(application)
        channel = self._obey(application)
        if channel is not None:
            os.close(self._reader)
            return newborn.live(channel, application, self._drain)
        sharing.before_exit()
        return 0 if self._planned else 1

    def _load(self) -> Application | None:
        try:
            with self._bound_to_master():
                module, _, name = self._launch.application.partition(":")
                make = getattr(importlib.import_module(module), name)
                application: Application = make(self._launch.arguments)
                application.load()
        except BaseException as error:
            self._channel.tell(PlanFailed("load", describe(error)))
            return None
        return application

    def _obey(self, application: Application) -> Channel | None:
        """Until the master is done with this mold; in a newborn, its channel."""
        while (received := self._channel.receive()) is not None:
            match received.message:
                case ComputePlan(settings):
                    self._plan(application, settings)
                    if not self._planned:
                        return None
                case Breed(count):
                    channel = breed(self._channel, count, self._launch.spare_title)
                    if channel is not None:
                        return channel
                case message:
                    raise InternalError(f"a mold was told {message}")
        return None

    def _plan(self, application: Application, settings: Json) -> None:
        step = "plan"
        try:
            with self._bound_to_master():
                plan = application.plan(settings)
                step = "before_fork"
                application.before_fork()
        except BaseException as error:
            self._channel.tell(PlanFailed(step, describe(error)))
            return
        newborn.take_signals(self._drain)
        prepared = sharing.prepare(self._launch.share)
        self._planned = True
        self._channel.tell(Planned(plan, tuple(_warnings(prepared))))

    @contextmanager
    def _bound_to_master(self) -> Iterator[None]:
        """Die with the master: while the application's code runs, nobody reads the end of the channel."""
        armed = lifeline.arm(self._reader, signal.SIGKILL)
        try:
            yield
        finally:
            os.close(armed)


def _warnings(prepared: sharing.Prepared) -> Iterator[str]:
    if prepared.warning is not None:
        yield prepared.warning
    if prepared.threads:
        yield "threads that no worker will have: " + ", ".join(prepared.threads)
    if prepared.native_threads:
        yield f"threads of libraries that no worker will have: {prepared.native_threads}"


def _take_over(arguments: list[str]) -> Mold:
    """Raises ValueError, OSError or MalformedMessage for what no master passes."""
    channel, description, reader = (int(each) for each in arguments)
    launch = decode(memfd.read(description))
    if not isinstance(launch, Launch):
        raise MalformedMessage("not a launch")
    os.close(description)
    os.set_inheritable(channel, False)
    os.set_inheritable(reader, False)
    sys.argv = list(launch.argv)
    # Its first entry is where `-m` looked for this module: not where the application's program would look.
    sys.path[:1] = launch.path
    title.set_title(launch.title)
    return Mold(Channel.from_descriptor(channel), launch, reader)


def main() -> int:
    """The process's status, of whichever kind it has become."""
    try:
        mold = _take_over(sys.argv[1:])
    except (ValueError, OSError, MalformedMessage) as error:
        print(f"prefork: a mold is started by a master only ({error})", file=sys.stderr)
        return 2
    return mold.run()


if __name__ == "__main__":
    sys.exit(main())
