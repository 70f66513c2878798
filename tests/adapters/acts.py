"""What a daemon goes through while clients ask on and on: reloads, scaling, recycling, its end, a worker's death."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from adapters.served import Adapted
from load import Load
from support import Start, gone, state, until

SAME = "/same"
LISTENS = "0A"  # in /proc/net/tcp, and there a listener's receive queue is how many wait in it


class Clients:
    """Half of them make a new connection for each request, half keep theirs."""

    def __init__(self, port: int, each: int, *, until_refused: bool = False) -> None:
        more: Any = {"path": SAME, "until_refused": until_refused}
        self.new = Load(port, SAME.encode(), each, **more)
        self.kept = Load(port, SAME.encode(), each, keep=True, **more)

    def __enter__(self) -> Clients:
        self.new.__enter__()
        self.kept.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.new.__exit__(*error)
        self.kept.__exit__(*error)

    def more(self, requests: int) -> None:
        """Wait until each half has made `requests` more."""
        self.new.more(requests)
        self.kept.more(requests)

    @property
    def requests(self) -> int:
        return self.new.ended + self.kept.ended

    @property
    def failures(self) -> Counter[str]:
        return self.new.failures + self.kept.failures


class Act:
    """One daemon, its clients, and what is done to it meanwhile: `times` of it, each among `share` requests or more."""

    workers = 4
    max_requests = 0
    until_refused = False

    def __init__(self, start: Start, server: tuple[str, str], *, times: int, share: int, **load: Any) -> None:
        self.times, self.share = times, share
        self.workers = load.pop("workers", self.workers)
        self.may_fail = 0
        """How many of the requests may: those that a killed worker had accepted."""
        kind = {"max_requests": self.max_requests and min(self.max_requests, share)}
        self.adapted = Adapted(start, server, workers=self.workers, keepalive_window=10, kind=kind)
        self.pids = self.adapted.ready(*(f"web/{number}" for number in range(self.workers)))
        self.clients = Clients(self.adapted.port, load.pop("clients", 8), until_refused=self.until_refused, **load)

    def play(self) -> None:
        """Do it, and end the daemon."""
        with self.clients:
            self.clients.more(self.share)
            for number in range(self.times):
                self.once(number)
                self.clients.more(self.share)
        assert self.adapted.stop() == 0

    def once(self, number: int) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """End the daemon while the clients ask on."""
        status = self.adapted.stop()
        self.clients.new.wait()
        self.clients.kept.wait()
        assert status == 0


class Reload(Act):
    def once(self, number: int) -> None:
        self.adapted.running.send(signal.SIGHUP)
        self.adapted.running.expect(rf"reload: done \(generation {number + 2}\)", "err")


class ReloadAndEnd(Reload):
    """Reload, then end: both under load."""

    until_refused = True

    def play(self) -> None:
        with self.clients:
            self.clients.more(self.share)
            for number in range(self.times):
                self.once(number)
                self.clients.more(self.share)
            self.end()


class Scale(Act):
    """To twice as many workers, to half as many, and back: 4 -> 8 -> 2 -> 4."""

    def once(self, number: int) -> None:
        for size in (self.workers * 2, self.workers // 2, self.workers):
            while len(self.pids) < size:
                self.adapted.running.send(signal.SIGTTIN)
                self.pids |= self.adapted.ready(f"web/{len(self.pids)}")
            while len(self.pids) > size:
                self.adapted.running.send(signal.SIGTTOU)
                assert gone(self.pids.popitem()[1])
            self.clients.more(self.share)


class Recycle(Act):
    """Workers are replaced when they have done a number of requests, or a share of them where that is less."""

    max_requests = 500

    def once(self, number: int) -> None:
        self.adapted.running.expect(r"worn out: \d+ requests", "err")


class RecycleReloadAndEnd(ReloadAndEnd):
    """Recycle, reload, then end, with one daemon; `told` is how many kept connections closed before the reload."""

    max_requests = 500
    told = 0

    def once(self, number: int) -> None:
        self.adapted.running.expect(r"worn out: \d+ requests", "err")
        self.clients.more(self.share)
        self.told = self.clients.kept.closed
        super().once(number)


class End(Act):
    """SIGTERM: clients with a connection are answered, and the others are refused."""

    until_refused = True

    def play(self) -> None:
        with self.clients:
            self.clients.more(self.share)
            self.end()


class Kill(Act):
    """SIGKILL of a worker: lost is, at most, what it had accepted.

    It is stopped first, so that what it has accepted can be counted, and connections that wait in its queue do wait.
    """

    def once(self, number: int) -> None:
        key = f"web/{number % self.workers}"
        pid = self.pids[key]
        os.kill(pid, signal.SIGSTOP)
        until(lambda: state(pid) == "T", "it is stopped")
        port, new = self.adapted.port, self.clients.new
        goal, taken = new.ended + 10, accepted(pid, port)
        # All of them may be with this one worker, and then no other goes on.
        until(lambda: new.ended >= goal or waiting(port) > 0 or taken >= new.clients, "others answer, or some wait")
        self.may_fail += taken
        os.kill(pid, signal.SIGKILL)
        self.pids |= self.adapted.ready(key)


ACTS: dict[str, type[Act]] = {"reload": Reload, "scale": Scale, "recycle": Recycle, "end": End, "kill": Kill}


def accepted(pid: int, port: int) -> int:
    """How many connections to this port a process has."""
    links = (os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
    inodes = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
    return sum(row[9] in inodes for row in sockets(port) if row[3] != LISTENS)


def waiting(port: int) -> int:
    """How many wait in the queues of this port."""
    return sum(int(row[4].partition(":")[2], 16) for row in sockets(port) if row[3] == LISTENS)


def sockets(port: int) -> list[list[str]]:
    """Return the rows of /proc/net/tcp with this port at our end."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row for row in rows if int(row[1].partition(":")[2], 16) == port]
