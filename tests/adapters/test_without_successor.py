"""What waits in a queue when the daemon ends. It ends the daemons that other modules share, so this one is the last."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adapters.served import BRIEF, REQUEST, SERVERS, SLOW, Shared, connect, read_all
from support import state, until


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
@pytest.mark.parametrize("options", [BRIEF, SLOW], ids=lambda options: options["sharing"])
def test_queue_without_a_successor_is_answered(
    shared: Shared, server: tuple[str, str], options: dict[str, Any]
) -> None:
    adapted = shared.take(server, **options)
    pid = adapted.pid
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state(pid) == "T", "it is stopped")
    clients = [connect(adapted.port) for _ in range(20)]
    for client in clients:
        client.sendall(REQUEST)
    adapted.running.send(signal.SIGTERM)
    until(lambda: told(pid), "the master has told it to end")
    with suppress(ProcessLookupError):  # The master has, and it has answered all by now.
        os.kill(pid, signal.SIGCONT)
    answers = [read_all(client) for client in clients]
    assert [answer.startswith(b"HTTP/1.1 200 ") for answer in answers] == [True] * 20
    for client in clients:
        client.close()
    assert adapted.running.wait() == 0


def told(pid: int) -> bool:
    """Whether TERM waits for it, or has been taken."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True  # It has ended already.
    pending = re.findall(r"^(?:SigPnd|ShdPnd):\s+([0-9a-f]+)$", status, re.MULTILINE)
    return state(pid) != "T" or any(int(mask, 16) & 1 << signal.SIGTERM - 1 for mask in pending)
