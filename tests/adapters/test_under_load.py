"""Requests on new and on kept connections while the daemon lives its life: none is lost. `make proof` plays longer."""

from __future__ import annotations

import pytest

from adapters.acts import ACTS
from adapters.served import SERVERS, STREAMS
from support import Start

TIMES = {"reload": 2, "scale": 1, "recycle": 3, "end": 1, "kill": 2}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("server", SERVERS + STREAMS, ids="-".join)
def test_nothing_is_lost(start: Start, server: tuple[str, str], act: str) -> None:
    played = ACTS[act](start, server, times=TIMES[act], share=60, clients=4)
    played.play()
    assert played.clients.failures.total() <= played.may_fail, played.clients.failures
    if act == "reload":
        assert played.clients.kept.closed >= played.clients.kept.clients, "nobody was told to go elsewhere"
