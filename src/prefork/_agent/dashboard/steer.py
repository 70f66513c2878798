"""Commands for those who have the token: reload, replan, restart a slot, scale a pool.

No cookie takes part, so no other site can use a browser that has the right. A command is refused all the same if it
comes from a page of another origin.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse, Response

from ..._errors import PreforkError
from .guard import same_origin

if TYPE_CHECKING:
    from starlette.requests import Request

    from ...client import Client

AT_ONCE = 2
"""Commands that may wait for their outcome at the same time: each has a thread."""

LONGEST = 4096
"""Bytes of a command, as the control socket's."""

Order = Callable[[], str]


class Steering:
    """Answers commands that have the token."""

    def __init__(self, commands: Client, token: str) -> None:
        self._commands = commands
        self._token = token.encode()
        self._free = AT_ONCE

    async def steer(self, request: Request) -> Response:
        """Answer one command, with its outcome as text."""
        if not same_origin(request.headers.get("origin"), request.headers.get("host", "")):
            return _answer(403, "this command comes from a page of another site")
        if not self._knows(request.headers.get("authorization", "")):
            return _answer(401, "the token is missing or wrong; the log names its file")
        if int(request.headers.get("content-length") or LONGEST + 1) > LONGEST:
            return _answer(413, f"a command has at most {LONGEST} bytes")
        order = _order(self._commands, request.path_params["command"], await request.body())
        if order is None:
            return _answer(400, "unknown command, or a member of it is missing or wrong")
        if not self._free:
            return _answer(503, f"{AT_ONCE} commands wait for their outcome; try again when one is done")
        return await self._carry_out(order)

    def _knows(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token)

    async def _carry_out(self, order: Order) -> Response:
        self._free -= 1
        try:
            return _answer(200, await asyncio.to_thread(order))
        except PreforkError as error:
            return _answer(409, str(error))
        finally:
            self._free += 1


def _order(commands: Client, command: str, body: bytes) -> Order | None:
    """Return what carries a command out; None if it is not understood."""
    try:
        members = json.loads(body or b"{}")
    except ValueError:
        return None
    match command, members:
        case "reload", {}:
            return commands.reload
        case "replan", {}:
            return commands.replan
        case "restart", {"slot": str(slot)}:
            return lambda: commands.restart(slot)
        case "scale", {"pool": str(pool), "size": int(size)} if type(size) is int and 0 <= size < 10_000:
            return lambda: commands.scale(pool, size)
    return None


def _answer(status: int, text: str) -> Response:
    headers: dict[str, Any] = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="prefork"'
    return PlainTextResponse(text + "\n", status, headers=headers)
