"""Reloading and dying under load, with the web sample."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from load import Load
from support import PROOF, Running, Spied, Start, by_id, gone, until

HELLO = b"6\r\nhello\n\r\n0\r\n\r\n"
"""The whole body as it is on the wire: in chunks, since the application does not say how long it is."""


def targets(pid: int) -> dict[str, str]:
    """Return a process's descriptors: number -> what it refers to."""
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[link.name] = os.readlink(link)
        except FileNotFoundError:
            pass  # Closed since it was listed.
    return found


def accepts(web: Running, worker: int) -> bool:
    """Tell whether a worker waits for connections at the socket that the master opened."""
    listeners = {target for target in targets(web.pid).values() if target.startswith("socket:")}
    held = targets(worker)
    polls = [number for number, target in held.items() if target == "anon_inode:[eventpoll]"]
    waited_for = "".join(Path(f"/proc/{worker}/fdinfo/{number}").read_text() for number in polls)
    return any(held.get(number) in listeners for number in re.findall(r"tfd:\s+(\d+)", waited_for))


RELOADS, REQUESTS = (5, 500) if PROOF else (2, 150)


def test_reloads_under_load_lose_no_request(start: Start, spied: Spied) -> None:
    web, port = start.web("-w", "4", env=spied.environment)
    with Load(port, HELLO) as load:
        load.more(REQUESTS)
        for _ in range(RELOADS):
            until(lambda: [accepts(web, pid) for pid in web.children()] == [True] * 4, "all four accept")
            old = list(by_id(web).values())
            web.send(signal.SIGHUP)
            assert all(gone(pid) for pid in old)
            load.more(REQUESTS)
    print(f"{load.answered} requests answered over {RELOADS} reloads")
    assert not load.failures
    assert load.answered >= (RELOADS + 1) * REQUESTS
    last = set(by_id(web).values())
    assert web.stop() == 0
    ends = [note.split() for note in spied.notes(web.pid) if note.startswith("reaped")]
    assert [status for _reaped, pid, status in ends if int(pid) not in last] == ["0"] * 4 * RELOADS
    assert web.err == []


def test_workers_end_when_the_master_is_killed(start: Start) -> None:
    web, port = start.web()
    with Load(port, HELLO, clients=2) as load:
        load.more(20)
    workers = list(by_id(web).values())
    web.send(signal.SIGKILL)
    assert web.wait() == -signal.SIGKILL
    assert all(gone(pid) for pid in workers)
    assert web.left() == []
