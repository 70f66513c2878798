"""Options for connections: how many wait, and how long one stays open."""

from __future__ import annotations

from ..option import Option
from ..types import BYTES, SECONDS, Quantity, Whole

_KEPT = Quantity("SECONDS", "a time such as 75 or 2m, one second at least", SECONDS.units, SECONDS.most, least=1)

CONNECTIONS = (
    Option("keep_alive", _KEPT, 75.0, "Seconds that a connection stays open without a request.", "served"),
    Option("backlog", Whole(1), 2048, "Most connections that wait in the queue of a listener.", "served"),
    Option("limit_request_line", BYTES, 0, "Most bytes of a request line; 0: the server's own limit.", "served"),
    Option("limit_request_headers", BYTES, 0, "Most bytes of all headers; 0: the server's own limit.", "served"),
    Option("limit_request_body", BYTES, 0, "Most bytes of a body; 0: the server's own limit, or none.", "served"),
    Option("limit_concurrency", Whole(), 0, "ASGI: most requests in flight per worker; 0: no limit.", "served"),
    Option("websocket_max_size", BYTES, 0, "Most bytes of a message; 0: the server's own limit.", "served"),
    Option("websocket_ping_interval", SECONDS, 0.0, "Seconds between pings; 0: the server's own.", "served"),
    Option("websocket_ping_timeout", SECONDS, 0.0, "Seconds to answer a ping; 0: the server's own.", "served"),
)
OF_SERVERS = tuple(option.name for option in CONNECTIONS)
"""Those that a server reads."""
