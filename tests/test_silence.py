"""Connections to uvicorn from which nothing has come: all others are forgotten."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState
from websockets.asyncio.client import connect

from prefork.adapters.web.patient import patient
from support import PATIENCE


async def application(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


@pytest.mark.parametrize("protocol", [HttpToolsProtocol, H11Protocol])
def test_connection_that_becomes_a_websocket_keeps_no_protocol(protocol: type[Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        config = uvicorn.Config(application, log_config=None)
        config.load()
        make = patient(protocol, loop, 60.0)
        made: list[weakref.ref[Any]] = []

        def begun() -> Any:
            one = make(config=config, server_state=ServerState(), app_state={}, _loop=loop)
            made.append(weakref.ref(one))
            return one

        async with await loop.create_server(begun, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            async with asyncio.timeout(PATIENCE), connect(f"ws://{host}:{port}/"):
                gc.collect()
                assert [reference() for reference in made] == [None]

    asyncio.run(main())
