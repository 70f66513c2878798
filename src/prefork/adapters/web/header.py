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

    headers_complete, message_complete = protocol.on_headers_complete, protocol.on_message_complete
    received = protocol.data_received

    class Short(protocol):  # type: ignore[misc]
        _gathered = 0
        _ended = 0
        """Headers that have ended; odd while a body follows."""

        def on_headers_complete(self) -> None:
            self._gathered = 0
            self._ended += 1
            headers_complete(self)

        def on_message_complete(self) -> None:
            self._ended += 1
            message_complete(self)

        def data_received(self, data: bytes) -> None:
            if self._gathered > most:
                return  # It is answered, and closes soon.
            ended = self._ended
            received(self, data)
            if ended == self._ended and not ended % 2:
                self._gathered += len(data)
                if self._gathered > most:
                    self._refuse()

        def _refuse(self) -> None:
            refusals.log(HEADERS_TOO_LARGE, f"a header of more than {most} bytes that has not ended")
            text = phrase(HEADERS_TOO_LARGE)
            lines = [f"HTTP/1.1 {text}", *(f"{name}: {value}" for name, value in headers(HEADERS_TOO_LARGE)), "", text]
            self.transport.write("\r\n".join(lines).encode())
            self.timeout_keep_alive_task = asyncio.get_running_loop().call_later(_LINGER, self.transport.close)

    return Short
