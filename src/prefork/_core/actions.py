"""Orders, in the imperative: everything that a decider can ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watch:
    """Tell me when this child ends, and reap it."""

    pid: int


@dataclass(frozen=True, slots=True)
class SendSignal:
    """Send a signal, by name (`TERM`), to a child that has not been reaped."""

    pid: int
    name: str


@dataclass(frozen=True, slots=True)
class Report:
    """Say this to whoever runs the daemon: one block of text on the master's standard error."""

    text: str


@dataclass(frozen=True, slots=True)
class Exit:
    """Leave the loop; nothing comes after it."""

    status: int


Action = Watch | SendSignal | Report | Exit
