"""Requests on new and on kept connections while a daemon is reloaded, scaled, ended: none is lost.

`make proof` plays every act under every server, longer and harder.
"""

from __future__ import annotations

from typing import Any

import pytest

from adapters.acts import Act, Kill, RecycleReloadAndEnd, Scale
from adapters.served import ONE_OF_EACH, SERVERS, STREAMS
from support import PROOF, Start

LIGHT: Any = {"times": 1, "share": 20, "clients": 2, "workers": 2}


def nothing_lost(act: Act) -> None:
    act.play()
    assert act.clients.failures.total() <= act.may_fail, act.clients.failures


@pytest.mark.parametrize("server", SERVERS + STREAMS if PROOF else ONE_OF_EACH, ids="-".join)
def test_recycling_reload_and_end_lose_nothing(start: Start, server: tuple[str, str]) -> None:
    act = RecycleReloadAndEnd(start, server, **LIGHT)
    nothing_lost(act)
    assert act.clients.kept.closed >= act.told + act.clients.kept.clients, "a client was not asked to reconnect"


@pytest.mark.parametrize("act", [Scale, Kill])
def test_scaling_and_a_kill_lose_nothing(start: Start, act: type[Act]) -> None:
    nothing_lost(act(start, ("uvicorn", "asgi"), **LIGHT | {"times": 2 if act is Kill else 1}))
