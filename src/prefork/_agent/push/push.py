"""What the agent pushes, each in a thread of its own: none delays another one, or what the agent serves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Event, Thread
from time import monotonic
from typing import Protocol

from ..._errors import PreforkError
from ...client import Status
from ..options import AgentOptions
from ..source import Source
from .outage import Outage

_LAST = 2.0
"""Seconds for the last push, at the agent's end."""
_AGAIN = 1.0
"""Seconds until the master is asked again, where it has not answered."""


class Sender(Protocol):
    """What sends to one receiver, each `interval` seconds.

    `subject` names both in the log, `cost` says what a failure costs; after `proof` successes the receiver is back.
    """

    interval: float
    subject: str
    cost: str
    proof: int

    def push(self) -> str | None:
        """Send what there is; return why it has not arrived. It may take some seconds."""

    def finish(self) -> None:
        """Send what there is for the last time; called where the last attempt has succeeded."""

    def give_up(self) -> None:
        """End an attempt that waits for the next try. For another thread."""


@asynccontextmanager
async def push(source: Source, options: AgentOptions) -> AsyncIterator[None]:
    """Push what the options ask for until the block ends."""
    wanted = [make for make, address in ((_otlp, options.otlp), (_statsd, options.statsd)) if address is not None]
    pushes = [_Push(source, options, make) for make in wanted]
    for each in pushes:
        each.start()
    try:
        yield
    finally:
        for each in pushes:
            each.stop()
        await asyncio.gather(*(asyncio.to_thread(each.join, _LAST) for each in pushes))


def _otlp(source: Source, options: AgentOptions, status: Status) -> Sender:
    from .otlp_sender import OtlpSender

    return OtlpSender(source, options, status)


def _statsd(source: Source, options: AgentOptions, status: Status) -> Sender:
    from .statsd_sender import StatsdSender

    return StatsdSender(source, options, status)


class _Push(Thread):
    """One sender, in a thread."""

    def __init__(
        self, source: Source, options: AgentOptions, make: Callable[[Source, AgentOptions, Status], Sender]
    ) -> None:
        super().__init__(name=f"--{make.__name__[1:]}", daemon=True)
        self._source, self._options, self._make = source, options, make
        self._stop_asked = Event()
        self._sender: Sender | None = None
        self._outage: Outage | None = None

    def stop(self) -> None:
        """Let the thread end after a last push; at once where the receiver is away. For another thread."""
        self._stop_asked.set()
        if self._sender is not None and self._outage is not None and self._outage.lasts:
            self._sender.give_up()

    def run(self) -> None:
        """Push at each interval."""
        if (status := self._status()) is None:
            return
        key = next(slot["key"] for slot in status["slots"] if slot["auxiliary"])
        try:
            self._sender = sender = self._make(self._source, self._options, status)
        except Exception as error:  # Variables OTEL_... that the exporters refuse, for one.
            _log(f"{key}: nothing is pushed by {self.name}: {error!r}; correct it and reload")
            return
        self._outage = outage = Outage(f"{key}: {sender.subject}", sender.cost, sender.proof, _log)
        due = monotonic() + sender.interval
        while not self._stop_asked.wait(max(0.0, due - monotonic())):
            due = max(due + sender.interval, monotonic())
            outage.note(_attempt(sender))
        if not outage.lasts:
            sender.finish()

    def _status(self) -> Status | None:
        """Return the daemon's state, as soon as the master gives it; None where the agent ends before."""
        while True:
            try:
                return self._source.status()
            except PreforkError:
                if self._stop_asked.wait(_AGAIN):
                    return None


def _attempt(sender: Sender) -> str | None:
    try:
        return sender.push()
    except PreforkError as error:
        return str(error)
    except Exception as error:  # A collector is the application's code.
        return repr(error)


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
