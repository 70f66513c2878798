"""A worker that has nothing to do sleeps, whoever's server it runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from adapters.served import SERVERS, Adapted
from support import Start, state, until


def wake_ups(pid: int) -> dict[str, list[str]]:
    """Return how often each thread has slept and been preempted."""
    return {
        task.name: [line for line in (task / "status").read_text().splitlines() if "ctxt_switches" in line]
        for task in Path(f"/proc/{pid}/task").iterdir()
    }


def rests(pid: int) -> bool:
    """Whether all of its threads sleep."""
    return all(
        (task / "stat").read_text().rpartition(")")[2].split()[0] == "S" for task in Path(f"/proc/{pid}/task").iterdir()
    )


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_an_idle_worker_never_wakes_up(start: Start, server: tuple[str, str]) -> None:
    # The last beat of a loop without a selector of ours comes a sixth of it after the last request.
    adapted = Adapted(start, server, kind={"hang_timeout": 1.8})
    pid = adapted.ready()["web/0"]
    assert adapted.get("/")[0] == 200
    until(lambda: rests(pid), "it sleeps")
    assert state(pid) == "S"
    settled = wake_ups(pid)
    until(lambda: settled_since(pid, settled), "nothing is left to be done of the request")
    before = wake_ups(pid)
    time.sleep(2)  # Not a wait for anything: what is measured is that nothing happens.
    assert wake_ups(pid) == before
    assert adapted.stop() == 0


def settled_since(pid: int, seen: dict[str, list[str]]) -> bool:
    """Whether nothing has happened for half a second; `seen` is brought up to date."""
    time.sleep(0.5)
    now = wake_ups(pid)
    same = now == seen
    seen.clear()
    seen.update(now)
    return same
