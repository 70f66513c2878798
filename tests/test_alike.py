"""A protocol of uvicorn's that is made in one step is as uvicorn makes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from prefork.adapters.web.alike import TESTED, alike


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Do nothing."""


def arguments() -> dict[str, Any]:
    config = uvicorn.Config(application, log_config=None)
    config.load()
    return {"config": config, "server_state": ServerState(), "app_state": {}, "_loop": asyncio.new_event_loop()}


@pytest.mark.skipif(not uvicorn.__version__.startswith(TESTED), reason="made by the constructor of this uvicorn")
def test_attributes_are_those_that_uvicorn_sets() -> None:
    given = arguments()
    make = alike(HttpToolsProtocol, **given)
    expected, one, other = vars(HttpToolsProtocol(**given)), vars(make()), vars(make())
    assert isinstance(make, type), "made in one step"
    assert one.keys() == expected.keys()
    differing = {name for name in one if one[name] is not expected[name]}
    assert differing == {name for name in one if one[name] is not other[name]} == {"parser", "pipeline"}
    assert [type(one[name]) for name in ("parser", "pipeline")] == [
        type(expected[name]) for name in ("parser", "pipeline")
    ]
    given["_loop"].close()


def test_other_constructors_are_called() -> None:
    class Numbered(HttpToolsProtocol):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.number = object()

    given = arguments()
    for protocol in Numbered, H11Protocol:
        make = alike(protocol, **given)
        assert type(make()) is protocol
    given["_loop"].close()
