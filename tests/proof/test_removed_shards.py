"""The sockets of removed slots: while thousands are closed, no client of the others is reset."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, suppress

from linux.test_port import SHARDED, opened, worker
from support import PATIENCE

REMOVALS = 60_000
CLIENTS = 3


def test_closing_shards_resets_no_client_of_the_others() -> None:
    with closing(opened()) as port:
        kept = worker(port, 1)
        kept.setblocking(True)
        over = threading.Event()
        answered = [0] * CLIENTS
        failures: list[OSError] = []

        def accept() -> None:
            with suppress(OSError):  # The port is closed at the end.
                while True:
                    kept.accept()[0].close()

        def ask(number: int) -> None:
            while not over.is_set():
                try:
                    with socket.create_connection(port.template().getsockname(), timeout=PATIENCE) as client:
                        client.recv(1)
                        answered[number] += 1
                except OSError as error:
                    failures.append(error)

        threads = [threading.Thread(target=accept, daemon=True)]
        threads += [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for _ in range(REMOVALS):
            port.give(SHARDED, "web/2", 2)
            port.ended(2)
            port.forget("web/2")
        over.set()
        for thread in threads[1:]:
            thread.join(PATIENCE)
    assert min(answered) > 1000, answered
    assert not failures, failures
