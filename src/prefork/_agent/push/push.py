"""What the agent pushes, each in a thread of its own: none delays another one, or what the agent serves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Event, Thread
from time import monotonic
from typing import Any, Protocol

from ..._errors import PreforkError
from ..options import AgentOptions
from ..source import Source
from .outage import Outage

_LAST = 2.0
"""Seconds for the last push, at the agent's end."""
_AGAIN = 1.0
"""Seconds until the master is asked again, where it has not answered."""


class Sender(Protocol):
    """What sends to one receiver. `subject` names both in the log, `cost` says what a failure costs."""

    interval: float
    subject: str
    cost: str

    def push(self) -> str | None:
        """Send what there is; return why it has not arrived. It may take some seconds."""

    def finish(self) -> None:
        """Send what there is for the last time; called where the last attempt has succeeded."""


@asynccontextmanager
async def push(source: Source, options: AgentOptions) -> AsyncIterator[None]:
    """Push what the options ask for until the block ends."""
    stop = Event()
    threads = [
        Thread(target=_run, name=f"push to {address}", args=(source, make, options, stop), daemon=True)
        for make, address in ((_otlp, options.otlp), (_statsd, options.statsd))
        if address is not None
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*(asyncio.to_thread(thread.join, _LAST) for thread in threads))


def _otlp(source: Source, options: AgentOptions, status: dict[str, Any]) -> Sender:
    from .otlp_sender import OtlpSender

    return OtlpSender(source, options, status)


def _statsd(source: Source, options: AgentOptions, status: dict[str, Any]) -> Sender:
    from .statsd_sender import StatsdSender

    return StatsdSender(source, options, status)


def _run(
    source: Source,
    make: Callable[[Source, AgentOptions, dict[str, Any]], Sender],
    options: AgentOptions,
    stop: Event,
) -> None:
    status = None
    while status is None:
        try:
            status = source.status()
        except PreforkError:
            if stop.wait(_AGAIN):
                return
    sender = make(source, options, status)
    key = next(slot["key"] for slot in status["slots"] if slot["auxiliary"])
    outage = Outage(f"{key}: {sender.subject}", sender.cost, lambda text: print(text, file=sys.stderr, flush=True))
    due = monotonic() + sender.interval
    while not stop.wait(max(0.0, due - monotonic())):
        due = max(due + sender.interval, monotonic())
        outage.note(_attempt(sender))
    if not outage.lasts:
        sender.finish()


def _attempt(sender: Sender) -> str | None:
    try:
        return sender.push()
    except PreforkError as error:
        return str(error)
    except Exception as error:  # A collector is the application's code.
        return repr(error)
