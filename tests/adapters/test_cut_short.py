"""A worker whose drain is cut short, since a later worker of its slot drains, too: it sleeps until then, and obeys.

Under each server in `make proof`. That each cuts what is in flight is in `test_conformance.py`.
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from adapters.served import ONE_OF_EACH, REQUEST, SERVERS, STREAMS, WSGI, Adapted, connect
from support import PROOF, Start, gone, kill, switches, until, until_still

DRAIN = 600
"""Seconds; that a drain ends sooner is by the cut."""
SLEEP = 1.0
"""Seconds in which a draining worker must not wake up."""


def sleeps(pid: int) -> int:
    """Return how often the threads of a process have gone to sleep so far."""
    return sum(switches(int(task.name), "voluntary") for task in Path(f"/proc/{pid}/task").iterdir())


def ask(adapted: Adapted, clients: ExitStack) -> None:
    """Have the application wait for ever."""
    clients.enter_context(connect(adapted.port)).sendall(REQUEST.replace(b"/ ", b"/asleep "))
    adapted.running.expect("^begun /asleep$")


def reload(adapted: Adapted, generation: int) -> None:
    """Replace the worker, and wait until the old one drains."""
    old = adapted.pid
    adapted.running.send(signal.SIGHUP)
    adapted.ready(generation=generation)
    until(lambda: "draining" in Path(f"/proc/{old}/cmdline").read_text(), "the old worker drains")


@pytest.mark.parametrize("server", SERVERS + STREAMS if PROOF else ONE_OF_EACH + STREAMS[:1], ids="-".join)
def test_draining_worker_sleeps_until_it_is_cut_short(start: Start, server: tuple[str, str]) -> None:
    os.mkfifo(start.directory / "asleep")
    kind = {"drain_timeout": DRAIN, "hang_timeout": 0}  # else a worker with a request shows that it is alive
    adapted = Adapted(start, server, keepalive_window=0.1, sharing="shared", kind=kind)
    adapted.ready()
    first = adapted.pid
    with ExitStack() as clients:
        ask(adapted, clients)
        reload(adapted, 2)
        until_still(lambda: sleeps(first), SLEEP)
        ask(adapted, clients)
        second = adapted.pid
        reload(adapted, 3)
        line = adapted.running.expect(r"^web/0: requests cut after (.*) s of draining \(1 in flight: ", "err")
        assert float(line[1]) < 10
        if server in WSGI or server == ("socketserver", "streams"):  # A thread cannot be cancelled.
            (start.directory / "asleep").write_bytes(b"")
        assert gone(first)
        adapted.running.expect(r"^reload: done \(generation 3\)", "err")
    assert not [line for line in adapted.running.err if "killed" in line]
    kill([second])  # Its request waits for ever: it would drain on for ten minutes.
    assert adapted.running.stop() == 0
