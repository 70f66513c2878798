"""uvicorn's protocol on httptools, which has no limit of its own, with a limit of the header that it gathers."""

from __future__ import annotations

import asyncio
from typing import Any

from .limits import HEADERS_TOO_LARGE
from .refusals import Refusals, headers, phrase

MOST = 65536
"""Bytes of a request line and headers, where no option says otherwise: as h11 has it."""
_LINGER = 1.0
"""Seconds until the connection is closed; under unread data a close would take the answer away."""


def short(protocol: type[Any], most: int, refusals: Refusals) -> type[Any]:
    """Return a subclass that answers a header of more than `most` bytes; another protocol as it is."""
    if not hasattr(protocol, "on_headers_complete"):
        return protocol

    received = protocol.data_received

    class Short(protocol):  # type: ignore[misc]
        _gathered = 0
        """Bytes that have come of a header that has not ended."""

        # uvicorn makes a scope when a request begins, and a cycle of it when its header ends. To listen for both costs
        # three times as much as to look at them here.
        def data_received(self, data: bytes) -> None:
            if self._gathered > most:
                return  # It is answered, and closes soon.
            scope, cycle = self.scope, self.cycle
            received(self, data)
            if (latest := self.cycle) is None or latest.scope is not self.scope:
                self._gather(len(data), self.scope is not scope, latest, cycle)

        def _gather(self, size: int, begun: bool, latest: Any, before: Any) -> None:
            """Count a piece in which no header has ended; one in which it has begun may have the end of a body, too."""
            if latest is not before or (begun and before is not None):
                self._gathered = 0
                return
            self._gathered += size
            if self._gathered > most and self.transport.get_protocol() is self:  # Else it is a WebSocket's by now.
                self._refuse()

        def _refuse(self) -> None:
            refusals.log(HEADERS_TOO_LARGE, f"a header of more than {most} bytes that has not ended")
            text = phrase(HEADERS_TOO_LARGE)
            lines = [f"HTTP/1.1 {text}", *(f"{name}: {value}" for name, value in headers(HEADERS_TOO_LARGE)), "", text]
            self.transport.write("\r\n".join(lines).encode())
            self.timeout_keep_alive_task = asyncio.get_running_loop().call_later(_LINGER, self.transport.close)

    return Short
