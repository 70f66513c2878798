"""Reloads under load: no request fails, on new connections or on kept ones."""

from __future__ import annotations

import signal

import pytest

from adapters.served import SERVERS, Adapted
from load import Load
from support import Start


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_reloads_fail_no_request(start: Start, server: tuple[str, str]) -> None:
    adapted = Adapted(start, server, workers=2, keepalive_window=10)
    adapted.ready("web/0", "web/1")
    new = Load(adapted.port, b"/same", 6, path="/same")
    kept = Load(adapted.port, b"/same", 6, path="/same", keep=True)
    with new, kept:
        for generation in range(2, 5):
            new.more(50)
            kept.more(50)
            adapted.running.send(signal.SIGHUP)
            adapted.running.expect(f"reload of generation {generation} done", "err")
        new.more(50)
        kept.more(50)
    assert not new.failures + kept.failures
    assert kept.closed >= 6, "nobody was told to go elsewhere"
    assert adapted.stop() == 0


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_worn_out_workers_are_replaced_and_fail_no_request(start: Start, server: tuple[str, str]) -> None:
    adapted = Adapted(start, server, workers=2, keepalive_window=10, kind={"max_requests": 100})
    workers = set(adapted.ready("web/0", "web/1").values())
    new = Load(adapted.port, b"/same", 6, path="/same")
    kept = Load(adapted.port, b"/same", 6, path="/same", keep=True)
    with new, kept:
        for _ in range(2):
            workers.add(adapted.ready("web/0")["web/0"])
            workers.add(adapted.ready("web/1")["web/1"])
    assert not new.failures + kept.failures
    assert len(workers) == 6
    assert adapted.stop() == 0
