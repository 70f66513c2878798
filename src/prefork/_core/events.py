"""Facts, in the past tense: everything that a decider can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """The loop runs and signals are caught; said once, first."""


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """A signal came. Several of one name since the last turn are one event.

    `terminal_gone`: it was a HUP and the terminal that the master was started on no longer exists.
    """

    name: str
    terminal_gone: bool = False


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How one process ended: `status` as subprocess gives it, negative for the signal that killed it.

    None: nobody will ever tell, since it was not a child, or somebody else in this program has waited for it.
    """

    pid: int
    status: int | None


@dataclass(frozen=True, slots=True)
class ProcessesExited:
    """Watched processes ended and have been reaped; all those that the loop found in one turn."""

    exits: tuple[ProcessExit, ...]


@dataclass(frozen=True, slots=True)
class ContextTaken:
    """A worker that was started by exec has decoded its context and is about to act on it."""

    pid: int


@dataclass(frozen=True, slots=True)
class ContextRefused:
    """A worker that was started by exec could not make sense of its context and is about to exit 2."""

    pid: int
    reason: str


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The moment that `Decider.next_deadline` named has come."""


Event = Started | SignalReceived | ProcessesExited | ContextTaken | ContextRefused | DeadlinePassed
