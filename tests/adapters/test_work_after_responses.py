"""Reloads while the application works on after each response, as background tasks do: all that has begun ends.

Under each server in `make proof`. That each waits for such work is in `test_conformance.py`.
"""

from __future__ import annotations

import signal

import pytest

from adapters.served import ONE_OF_EACH, SERVERS, Adapted
from load import Load
from support import PROOF, Start

RELOADS, WORKERS, CLIENTS = (6, 4, 32) if PROOF else (2, 2, 4)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", SERVERS if PROOF else ONE_OF_EACH, ids="-".join)
def test_reloads_break_off_no_work_after_a_response(start: Start, server: tuple[str, str]) -> None:
    adapted = Adapted(start, server, workers=WORKERS)
    adapted.ready(*(f"web/{number}" for number in range(WORKERS)))
    with Load(adapted.port, b"ok", CLIENTS, path="/work-on") as load:
        for number in range(RELOADS):
            load.more(4 * CLIENTS)
            adapted.running.send(signal.SIGHUP)
            adapted.running.expect(rf"reload: done \(generation {number + 2}\)", "err")
        load.more(CLIENTS)
    assert adapted.stop() == 0
    out, err = adapted.running.out, adapted.running.err
    assert out.count("work begun") == out.count("work ended") == load.answered
    assert not load.failures
    assert not [line for line in err if "panicked" in line or "SIG" in line or "cut after" in line]
    if PROOF:
        print(f"{'-'.join(server)}: {RELOADS} reloads, {load.answered} responses, the work after each ended")
