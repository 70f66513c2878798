"""uvicorn's protocols, with a time for silence that holds from the connection on and loses no request.

uvicorn counts from a response on, and up to the next byte: a connection without a first request would stay for ever,
and so would one whose client sends a header a byte at a time.
"""

from __future__ import annotations

import asyncio
import select
from typing import Any


def patient(protocol: type[Any], loop: asyncio.AbstractEventLoop, header_timeout: float = 0.0) -> type[Any]:
    """Return a subclass of one of uvicorn's HTTP protocols; `header_timeout`: see `ServerOptions`."""

    # Bound once, here and in the other layers: CPython 3.11 looks `super()` up for each connection, in 0.2 µs.
    made, lost, call_later = protocol.connection_made, protocol.connection_lost, loop.call_later

    class Patient(protocol):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            made(self, transport)
            self.timeout_keep_alive_task = call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

        def connection_lost(self, exc: Exception | None) -> None:
            self._unset_keepalive_if_required()  # uvicorn lets it run after a reset, and with it keeps the protocol.
            lost(self, exc)

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
