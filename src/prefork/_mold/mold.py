"""The mold: imports the application, computes its plan, forks on order.

It has the application's user from its first instruction on. The application's program runs here as anywhere, up to its
`daemon.run()`, which hands over to `Mold.serve` and never returns. From then on the mold does what the master orders
over the channel, one order at a time, and ends with the master.
"""

from __future__ import annotations

import atexit
import importlib
import os
import signal
import sys
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from .._errors import InternalError, UsageError
from .._linux import lifeline, memfd, title
from .._linux.channel import Channel
from .._linux.stacks import Stacks
from .._wire import plan_memory
from .._wire.agreement import agreement
from .._wire.messages import (
    WARMING,
    ComputePlan,
    Edited,
    Failed,
    Fork,
    Json,
    MalformedMessage,
    MoldLaunch,
    Planned,
    Ready,
    StepFailed,
    Warming,
    decode,
)
from .._wire.scoreboard import Scoreboard
from .._worker import newborn, sharing
from .._worker.callbacks import calls
from .._worker.draining.drain import Drain
from .._worker.failure import describe
from .._worker.metrics.own import own as own_metrics
from .._worker.orphans.orphan import Orphan
from .environment.interpreter import remarks
from .forking.fork_children import fork_children
from .lazy_imports.settle import settle
from .leave import leave
from .stock import missing, other_end, patches
from .stock.origins import Origins
from .stock.repair import Repairs
from .stock.shared import refuse_shared
from .warming.rehearsal import rehearse

if TYPE_CHECKING:
    from .._options.records import DaemonOptions
    from .._wire.messages import Json
    from .._worker.assignment import Assignment
    from .warming.warm import WarmUp

_FIRST = 1
"""The generation of a daemon's start: each later one is a reload's."""

_PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Mold:
    """This process as a mold: it loads the application, and carries out the master's orders."""

    def __init__(self, channel: Channel, launch: MoldLaunch, reader: int, board: Scoreboard, stacks: Stacks) -> None:
        self._channel = channel
        self._launch = launch
        self._reader = reader
        self._board = board
        self._stacks = stacks
        self._orphan = Orphan(Drain())
        # Before the application's exit handlers, and so called after them: programs that they start would inherit it.
        atexit.register(self._orphan.drain.ignore)
        self._planned = False
        self._serving = False
        self._origins, self._repairs = Origins(), Repairs()
        self._inherited = frozenset(other_end.links().values())
        self.notes: list[str] = []
        """What the log is to have of the application's start, once."""
        self.awaits_run = False
        """Whether the program runs up to its `daemon.run()`, which serves. Any other call of it starts a master."""
        self.files: dict[str, int] = {}
        """While a plan is computed: descriptors of what the master has read for it, by option."""

    def run(self) -> int:
        """Load the application, which serves; return the exit status where loading fails."""
        armed = self._bind_to_master()
        try:
            module, _, name = self._launch.application.partition(":")
            self._loading = armed
            self._stacks.install_for_import()
            if not self._launch.alone:
                self._origins.begin()
            getattr(importlib.import_module(module), name)(self._launch.arguments)
            raise UsageError("the program ended without calling run() of its daemon: call it at the end")
        except BaseException as error:
            if self._serving:
                raise
            self._send_failure("load", describe(error))
            return 1

    def serve(self, application: Application, options: DaemonOptions, may_share: Collection[str] = ()) -> NoReturn:
        """Carry out the master's orders with this application; workers `may_share` connections of these names.

        Raises SystemExit in the mold, at its end. A worker exits the interpreter from here: blocks around the
        application's call of `run()`, such as `with TemporaryDirectory():`, are left by the mold alone, once.
        """
        patches.settle()
        self._serving, self.awaits_run = True, False
        self._share = options.share if self._launch.share == "" else self._launch.share
        self._lazy = options.lazy_imports
        self._may_share = may_share
        self._inheritance = self._inheritance_of(application.worker)
        os.close(self._loading)
        if self._launch.alone:
            self._settle_alone()
            newborn.take_signals(self._orphan, self._stacks)
            self._live(self._channel)
        self._obey(application)
        sys.exit(0 if self._planned else 1)

    def _settle_alone(self) -> None:
        try:
            settle(self._lazy)
        except BaseException as error:
            self._send_failure("load", describe(error))
            sys.exit(1)

    def _inheritance_of(self, worker: Callable[[str, Json], Callable[[Assignment], None]]) -> newborn.Inheritance:
        return newborn.Inheritance(worker, self._orphan.drain, self._board, self._stacks, self._orphan)

    def _live(self, channel: Channel, meanwhile: Callable[[], None] | None = None) -> NoReturn:
        os.close(self._reader)
        status = newborn.live(channel, self._inheritance, meanwhile)
        leave(status)

    def send_ready(self) -> None:
        """Send Ready, from a process that is `alone` and waits for no order: its watched files have changed."""
        self._channel.try_send(Ready())

    def send_edited(self, at: float) -> None:
        """Send Edited, from such a process."""
        self._channel.try_send(Edited(at))

    def _send_failure(self, step: str, text: str) -> None:
        self._channel.try_send(Failed(text) if self._launch.alone else StepFailed(step, text))

    def _obey(self, application: Application) -> None:
        """Carry out orders until the master closes the channel."""
        while (received := self._channel.receive()) is not None:
            match received.message:
                case ComputePlan(files):
                    self.files = dict(zip(files, received.descriptors[1:], strict=False))
                    self._plan(application, received.descriptors)
                    if not self._planned:
                        return
                case Fork(count):
                    own_metrics.before_fork()
                    # A single newborn may be kept as a spare. In a large batch they wait for each other, and a
                    # rehearsal of all of them meanwhile would cost half a megabyte each.
                    live = partial(self._live, meanwhile=self._rehearse) if count == 1 else self._live
                    fork_children(self._channel, count, received.descriptors, self._launch.spare_title, live)
                case message:
                    raise InternalError(f"the master sent {type(message).__name__} to a mold")

    def _plan(self, application: Application, memory: tuple[int, ...]) -> None:
        """Compute the plan and write it to the master's memory, a descriptor that it has sent."""
        step, armed, warmed = "load", self._bind_to_master(), False
        try:
            settle(self._lazy)
            step = "plan"
            plan = application.plan()
            if not memory:
                raise UsageError("this process has no descriptor left to pass the plan on: raise its limit")
            size = plan_memory.write(memory[0], plan)
            if not self._planned and self._launch.generation > _FIRST:
                step = "on_reload"
                calls.reload()
            if _forks(plan) and (work := self._warming(application)) is not None:
                warmed = True
                self._warm(work)
            step = "before_fork"
            application.before_fork()
            step = "load"  # Of what the plan has imported: a server, for one.
            left = settle(self._lazy)
            self.notes += [] if self._planned else left
            self._origins.end()
            step = "import"
            lost = self._take_stock() if _forks(plan) else []
        except BaseException as error:
            # Whose fault it is, another mold shows, which does not warm.
            self._send_failure(WARMING if warmed else step, describe(error))
            return
        finally:
            os.close(armed)
            for descriptor in memory:
                os.close(descriptor)
        newborn.take_signals(self._orphan, self._stacks)
        stage = self._inheritance_of(application.rehearsal)
        spare = self._inheritance_of(application.rehearsal_of_spare)
        self._rehearse = partial(rehearse, spare, self._launch.spare_title, 1)
        rehearse(stage, self._launch.title)
        prepared = sharing.prepare(self._share)
        self._planned = True
        self._channel.try_send(Planned(size, tuple(filter(None, [*self.notes, prepared.warning])), tuple(lost)))
        self.notes.clear()

    def _warming(self, application: Application) -> WarmUp | None:
        """Return what warms the application up, before the first fork of a mold that the master lets warm."""
        return application.warming() if self._launch.warm and not self._planned else None

    def _warm(self, work: WarmUp) -> None:
        from .warming.warm import warm

        self._channel.try_send(Warming(work.timeout))
        self.notes += warm(work)
        self._channel.try_send(Warming(0.0))

    def _take_stock(self) -> list[str]:
        """Refuse what workers would share, repair what can be repaired, and return what they will miss."""
        refuse_shared(self._inherited, self._origins, self._may_share)
        self._repairs.prepare()
        return missing.missing(self._origins)

    def _bind_to_master(self) -> int:
        """Let this process die with the master until the returned descriptor is closed.

        While the application's code runs, the channel is not read.
        """
        return lifeline.arm(self._reader, signal.SIGKILL)


def _forks(plan: Json) -> bool:
    """Return whether a worker of this plan is forked from this process."""
    kinds = plan.get("kinds") if isinstance(plan, dict) else None
    return not kinds or any(kind["spawn"] == "fork" for kind in kinds.values())  # type: ignore[index, union-attr, call-overload]


own: Mold | None = None
"""The mold that this process is, if it is one: what `daemon.run()` hands over to."""

adopt: Callable[[Any], Application]
"""Makes an application of a `Daemon`. Set by the loader, so that this module need not import the class."""


def take_over(arguments: list[str]) -> Mold:
    """Return the mold of this process, made of the descriptors that the master passes, as text.

    Raises UsageError if the master is of another version, and has the reason; ValueError, OSError or MalformedMessage
    for anything else.
    """
    global own
    *passed, agreed = arguments
    if agreed != agreement():
        text = f"the running master is of another version than prefork in {_PACKAGES}: restart the daemon"
        Channel.from_descriptor(int(passed[0])).send(StepFailed("start", text))
        raise UsageError(text)
    channel, description, reader, shared, stacks, metrics = map(int, passed)
    launch = decode(memfd.read(description))
    if not isinstance(launch, MoldLaunch):
        raise MalformedMessage("not a launch")
    os.close(description)
    for descriptor in channel, reader, stacks, metrics:
        os.set_inheritable(descriptor, False)
    sys.argv = list(launch.argv)
    title.set_title(launch.title)
    if launch.captured and sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # A pipe would be written by the block.
    # Now, and not in each worker: what is mapped and made before the fork is shared by all of them.
    board = Scoreboard(shared)
    os.close(shared)
    own = Mold(Channel.from_descriptor(channel), launch, reader, board, Stacks(stacks, board))
    own.notes += remarks()
    own_metrics.begin(metrics, launch.generation, launch.alone, board, own.notes)
    return own


class Application(Protocol):
    """The application as the mold sees it; the mold reports what a method raises as the application's failure."""

    def plan(self) -> Json:
        """Read the configuration and compute the plan, as plain data: when it is loaded, and for each replan."""

    def warming(self) -> WarmUp | None:
        """Return what is to be done once before the first fork, so that workers share it; None for nothing."""

    def before_fork(self) -> None:
        """Close what must not be shared with workers. Called in the mold after each computed plan."""

    def rehearsal(self, key: str, context: Json) -> Callable[[Assignment], None]:
        """Return a function that takes a worker's steps without the application's own.

        Called in the mold after each computed plan, several times, instead of `worker`: key, context and assignment
        are placeholders. The assignment's one listener has one connection waiting, with a request of HTTP.
        """

    def rehearsal_of_spare(self, key: str, context: Json) -> Callable[[Assignment], None]:
        """Return the same for a spare that is kept, which calls it once and has time for more."""

    def worker(self, key: str, context: Json) -> Callable[[Assignment], None]:
        """Return the function of the worker `key`, given its encoded context. Called in the worker."""
