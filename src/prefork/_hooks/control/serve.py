"""The control socket of a hooks master: its name, its runtime directory, and what is served there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from time import time
from typing import TYPE_CHECKING, NoReturn

from ..._core.actions import Action
from ..._core.events import Event
from ..._errors import SystemFailure, UsageError
from ..._linux.program import Program
from ..._linux.signals import NAMES
from ..._master.control.place import opened
from ..._master.control.server import Control
from ..._master.control.view import DaemonView, Means, Origin, Refused
from ..._master.identity.claim import Claim
from ..._master.identity.lock import Lock, Noted
from ..._master.runtime.directory import directory_for
from ..._master.runtime.presence import Presence
from ..._options.target import daemon_name
from ..._report.journal import Journal
from ..._wire.places import given_in
from .steered import NO_SCOREBOARD, NO_STACKS, SteeredDecider
from .table import Table

if TYPE_CHECKING:
    from ..._core.decider import Decider
    from ..._master.loop import Master, Observer
    from ..spawn import Spawner
    from .changes import HookMaster

_VARIABLE = "PREFORK_NAME"
_NO_NAME = re.compile(r"[^\w.-]")
_MOST = 100
"""Daemons of one program in one directory that get names of their own."""


class Recorder:
    """Keeps the journal of a hooks daemon, and sends its records to the clients that follow."""

    def __init__(self, decider: SteeredDecider, journal: Journal, control: Control) -> None:
        self._decider = decider
        self._journal = journal
        self._control = control

    def noted(self, event: Event, actions: Sequence[Action], now: float) -> None:
        """See `Observer`."""
        for fact, orders in self._decider.facts:
            if records := self._journal.note(fact, orders, now, time()).records:
                self._control.publish(records)

    def done(self, now: float) -> None:
        """See `Observer`."""


@contextmanager
def controlled(
    master: Master, decider: HookMaster, spawner: Spawner, program: Program, name: str | None
) -> Iterator[tuple[Decider, Sequence[Observer]]]:
    """Serve the control socket; yield the decider and the observers to run.

    Raises UsageError if a daemon of this `name`, or PREFORK_NAME, is running. Where there can be no socket, that is
    logged, and the program runs without one: it did so before there was one.
    """
    with ExitStack() as stack:
        try:
            claimed: Callable[[], Sequence[int]] = tuple
            given = os.environ.get(_VARIABLE) or name
            name, lock = _locked(given, program, os.environ)
            stack.callback(lock.leave)
            if given:
                claim = Claim(Noted(name, program.directory or ""), program.place(), master.relay.log)
                stack.callback(claim.close)
                claimed = claim.descriptors
            table = Table(name, spawner.name, NAMES)
            steered, journal = SteeredDecider(decider, table), Journal()
            origin = Origin(program.directory, program.typed(), "hooks")
            view = DaemonView(table, journal, Means(dict, _no_scoreboard, _no_stacks, dict), origin, time())
            control = Control(master, opened(lock.path, None), view, spawner.replies)
            stack.callback(control.close)
            presence = Presence(master, lock, control)
        except (SystemFailure, OSError) as error:
            stack.close()
            master.relay.log(f"prefork: control: {error}; running without: `prefork status` will not find this daemon")
            yield decider, ()
            return
        stack.callback(presence.close)
        stack.enter_context(
            _closed_in_children(lambda: [lock.descriptor, *claimed(), *control.descriptors(), *presence.descriptors()])
        )
        yield steered, [Recorder(steered, journal, control)]


@contextmanager
def _closed_in_children(descriptors: Callable[[], Iterable[int]]) -> Iterator[None]:
    """Close these descriptors in each process that is forked meanwhile, which would keep them in use after the master.

    That is for what names this process: a lock, a listening socket and its connections.
    """
    entered = True

    def in_child() -> None:
        nonlocal entered
        if entered:
            entered = False
            for descriptor in descriptors():
                os.close(descriptor)

    os.register_at_fork(after_in_child=in_child)
    try:
        yield
    finally:
        entered = False


def _locked(name: str | None, program: Program, environ: Mapping[str, str]) -> tuple[str, Lock]:
    """Return the daemon's name, and the lock of a runtime directory that is free. Raises UsageError, SystemFailure.

    Two programs may be started with one RUNTIME_DIRECTORY, and one program twice in one directory, on two ports: as
    long as no name was given, both run, and the later one gets a number.
    """
    usual = {variable: value for variable, value in environ.items() if variable != "RUNTIME_DIRECTORY"}
    own = _default_name(program) if name is None else _checked(name)
    daemon = Noted(own, program.directory or "")
    if given_in(environ):
        try:
            return own, Lock(directory_for(own, environ), daemon)
        except UsageError:
            pass  # Another daemon has it.
    if name is not None:
        return own, Lock(directory_for(own, usual), daemon)
    for number in range(1, _MOST + 1):
        numbered = own if number == 1 else f"{own}-{number}"
        try:
            return numbered, Lock(directory_for(numbered, usual), daemon)
        except UsageError:
            continue
    raise SystemFailure(f"{_MOST} daemons are called {own}")


def _checked(name: str) -> str:
    from ..._options.types import DAEMON_NAME  # Here: few programs give a name.

    try:
        return DAEMON_NAME.check(name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _default_name(program: Program) -> str:
    """Return the name that `prefork run` would give a daemon of this module, or of this file."""
    match program.command.program:
        case ("-m", module):
            target = module
        case (script,):
            target = os.path.basename(os.path.normpath(script)).removesuffix(".py")
        case _:
            target = "main"  # It says nothing, so that the name is that of the directory.
    return daemon_name(_NO_NAME.sub("-", target).strip(".") or "main", program.directory or "/")


def _no_scoreboard() -> NoReturn:
    raise Refused(NO_SCOREBOARD)


def _no_stacks(_command: int, _slot: str, _force: bool) -> NoReturn:
    raise Refused(NO_STACKS)
