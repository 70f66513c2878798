"""What clients see while a daemon reloads, breaks, loses workers and loses its master: nothing."""

from __future__ import annotations

import os
import signal
import threading
import time

from asking import Asking
from support import PATIENCE, PROOF, Start, gone
from system.daemons import Served, forget_workers

PAUSE = 0 if PROOF else 0.02
"""Seconds that each client waits after an answer."""

BREAKS, DEATHS, ANSWERS = (3, 5, 200) if PROOF else (1, 3, 50)


class Clients(Asking):
    """Threads that ask in a closed loop, each time on a new connection, and keep every failure."""

    def __init__(self, served: Served, count: int = 8) -> None:
        super().__init__(self._ask_on_and_on, count, 2 * PATIENCE)
        self._served = served
        self._news = threading.Condition()
        self.answers: list[tuple[str, int, int, str]] = []
        self.failures: list[BaseException] = []

    def more(self, count: int) -> None:
        """Wait until `count` more have been answered."""
        with self._news:
            goal = len(self.answers) + count
            assert self._news.wait_for(lambda: len(self.answers) >= goal or bool(self.failures), 3 * PATIENCE)

    def _ask_on_and_on(self, _number: int) -> None:
        while not self.stopping and not self.failures:
            try:
                answer = self._served.ask()
            except (OSError, AssertionError) as error:
                self.failures.append(error)
            else:
                with self._news:
                    self.answers.append(answer)
                    self._news.notify_all()
            time.sleep(PAUSE)


def test_no_request_fails_through_broken_and_good_reloads(start: Start) -> None:
    served = Served(start, "loaded", plan="[Web(i) for i in range(4)]").launch()
    served.ready("web/0", "web/1", "web/2", "web/3")
    with Clients(served) as clients:
        for generation in range(2, 2 + 2 * BREAKS, 2):
            served.write(more="def broken(:\n")
            served.signal(signal.SIGHUP)
            served.running.expect("SyntaxError", "err")
            clients.more(ANSWERS)
            served.write(plan=f'[Web(i, "text {generation}") for i in range(4)]')
            served.signal(signal.SIGHUP)
            served.running.expect(rf"reload: done \(generation {generation + 1}\)", "err")
            clients.more(ANSWERS)
    assert clients.failures == []
    assert clients.answers[-1][3] == f"text {2 * BREAKS}"
    assert served.stop() == 0


def test_death_of_an_idle_worker_fails_no_request(start: Start) -> None:
    served = Served(start, "deaths", plan="[Web(0), Web(1)]").launch()
    pids = served.ready("web/0", "web/1")
    for _ in range(DEATHS):
        os.kill(pids["web/0"], signal.SIGKILL)  # No client asks it now, so it holds no connection.
        with Clients(served) as clients:
            pids["web/0"] = served.ready("web/0")["web/0"]
            clients.more(ANSWERS)
        assert clients.failures == []
    assert served.stop() == 0


def test_new_master_takes_over_orphans_without_a_gap(start: Start) -> None:
    served = Served(start, "taken-over", options="orphan_grace=60").launch()
    old = served.ready("web/0", "web/1")
    with Clients(served, 4) as clients:
        clients.more(50)
        os.kill(served.running.pid, signal.SIGKILL)
        served.running.wait()
        clients.more(50)
        forget_workers(start)
        served.launch()
        new = served.ready("web/0", "web/1")
        assert all(gone(pid) for pid in old.values())
        clients.more(50)
    assert clients.failures == []
    assert clients.answers[-1][2] in new.values()
    assert served.stop() == 0
