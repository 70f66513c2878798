"""uvicorn's protocols, with a time for silence that holds from the connection on and loses no request.

uvicorn counts from a response on: a connection without a first request would stay for ever.
"""

from __future__ import annotations

import asyncio
import select
from typing import Any


def patient(protocol: type[Any], loop: asyncio.AbstractEventLoop) -> type[Any]:
    """Return a subclass of one of uvicorn's HTTP protocols."""

    class Patient(protocol):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.timeout_keep_alive_task = loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

        def connection_lost(self, exc: Exception | None) -> None:
            self._unset_keepalive_if_required()  # uvicorn lets it run after a reset, and with it keeps the protocol.
            super().connection_lost(exc)

        def timeout_keep_alive_handler(self) -> None:
            # After a turn that took long uvloop runs timers before it reads: the request may be there.
            if not _has_data(self.transport):
                super().timeout_keep_alive_handler()

    return Patient


def _has_data(transport: asyncio.Transport) -> bool:
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(poll.poll(0))
