"""uvicorn's protocols, with a time for silence that holds from the connection on and loses no request.

uvicorn counts from a response on, and up to the next byte: a connection without a first request would stay for ever,
and so would one whose client sends a header a byte at a time.
"""

from __future__ import annotations

import asyncio
import select
from typing import Any


class _NotYet:
    """Stands for the timer of a connection from which nothing has come: with its first byte uvicorn cancels that."""

    def cancel(self) -> None:
        """Do nothing: the connection is looked at when its time has passed."""


_SILENT = _NotYet()


class _Silence:
    """The connections from which nothing has come yet, as far as is known, the oldest first.

    One timer for all: one for each is a fortieth of what a connection costs in Python.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._since: dict[Any, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begins(self, protocol: Any) -> None:
        """Note a connection that begins."""
        protocol.timeout_keep_alive_task = _SILENT
        self._since[protocol] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def ends(self, protocol: Any) -> None:
        """Forget a connection."""
        self._since.pop(protocol, None)
        if not self._since and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        while self._since:
            protocol, since = next(iter(self._since.items()))
            left = since + self._seconds - self._loop.time()
            if left > 0:
                self._timer = self._loop.call_later(left, self._look)
                return
            del self._since[protocol]
            if protocol.timeout_keep_alive_task is _SILENT:
                protocol.timeout_keep_alive_handler()


def patient(
    protocol: type[Any], loop: asyncio.AbstractEventLoop, seconds: float, header_timeout: float = 0.0
) -> type[Any]:
    """Return a subclass of one of uvicorn's HTTP protocols.

    `seconds`: how long a connection may send nothing. `header_timeout`: see `ServerOptions`.
    """
    silence = _Silence(loop, seconds)
    # Bound once, here and in the other layers: CPython 3.11 looks `super()` up for each connection, in 0.2 µs.
    made, lost, begins, ends = protocol.connection_made, protocol.connection_lost, silence.begins, silence.ends

    class Patient(protocol):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            made(self, transport)
            begins(self)

        def connection_lost(self, exc: Exception | None) -> None:
            ends(self)
            self._unset_keepalive_if_required()  # uvicorn lets it run after a reset, and with it keeps the protocol.
            lost(self, exc)

        def handle_websocket_upgrade(self, *event: Any) -> None:
            ends(self)  # Its end is another protocol's.
            super().handle_websocket_upgrade(*event)

        def timeout_keep_alive_handler(self) -> None:
            # After a turn that took long uvloop runs timers before it reads: the request may be there.
            if not _has_data(self.transport):
                super().timeout_keep_alive_handler()

    return punctual(Patient, loop, header_timeout) if header_timeout else Patient


def punctual(protocol: type[Any], loop: asyncio.AbstractEventLoop, seconds: float) -> type[Any]:
    """Return a subclass that closes a connection whose request has begun, and whose header takes longer than this."""

    class Punctual(protocol):  # type: ignore[misc]
        _ending: asyncio.TimerHandle | None = None

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            cycle = self.cycle  # That of the request whose header came last.
            begun = self.timeout_keep_alive_task is None and (cycle is None or cycle.response_complete)
            if not begun or self.transport.get_protocol() is not self:
                self._in_time()
            elif self._ending is None:
                self._ending = loop.call_later(seconds, self.transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._in_time()
            super().connection_lost(exc)

        def _in_time(self) -> None:
            if self._ending is not None:
                self._ending.cancel()
                self._ending = None

    return Punctual


def _has_data(transport: asyncio.Transport) -> bool:
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(poll.poll(0))
