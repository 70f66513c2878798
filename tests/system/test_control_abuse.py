"""A real master under what may come to its control socket: it lives, and keeps its memory and descriptors."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import socket
import subprocess
import time
from pathlib import Path

import pytest

import prefork
from support import PROOF, Start, chance_seed, until
from system.daemons import Served, root

GOOD = [
    {"protocol": 1, "request": "hello"},
    {"protocol": 1, "request": "status"},
    {"protocol": 1, "request": "scoreboard"},
    {"protocol": 1, "request": "events"},
    {"protocol": 1, "request": "events", "follow": True},
    {"protocol": 1, "request": "explain", "slot": "web/0"},
    {"protocol": 1, "request": "scale", "pool": "nobody", "size": 5, "events": True},
    {"protocol": 1, "request": "restart", "slot": "nobody"},
]

ASK = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
answer = b""
try:
    sock.sendall(b'{"protocol": 1, "request": "hello"}\\n{"protocol": 1, "request": "stop"}\\n')
    answer = sock.recv(1000)
    sock.recv(1000)  # Who hangs up before a request is read has not asked.
except OSError:
    pass
print(os.geteuid(), answer)
"""


def path(served: Served) -> str:
    return f"{served.environment['RUNTIME_DIRECTORY']}/control.sock"


def connected(served: Served) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(path(served))
    return sock


def client(served: Served) -> prefork.Client:
    return prefork.connect(served.environment["RUNTIME_DIRECTORY"])


def at_rest(served: Served) -> dict[str, int]:
    """Wait until everything is there, and the master knows of it; return the workers' pids."""
    pids = served.ready("web/0", "web/1")
    until(lambda: [mold["spares"] for mold in client(served).status()["molds"]] == [1], "its spare")
    return pids


def descriptors(served: Served) -> int:
    """Return how many a master has, this request's included: earlier ones are closed by then."""
    with connected(served) as asking:
        asking.sendall(b'{"protocol": 1, "request": "hello"}\n')
        assert b'"ok":true' in asking.recv(1000)
        return len(os.listdir(f"/proc/{served.running.pid}/fd"))


def memory(served: Served) -> int:
    """Kilobytes of a master's own."""
    text = Path(f"/proc/{served.running.pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+)", text, re.MULTILINE))


def garbage(chance: random.Random) -> bytes:
    """Bytes that are wrong in some way, or right: of what changes nothing."""
    good = json.dumps(chance.choice(GOOD)).encode() + b"\n"
    kind = chance.randrange(6)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 200))
    if kind == 1:
        return good
    if kind == 2:
        return good[: chance.randrange(len(good))]
    if kind == 3:
        return good * chance.randrange(1, 40)
    spoilt = bytearray(good)
    for _ in range(chance.randrange(1, 4)):
        spoilt[chance.randrange(len(spoilt))] = chance.choice(b'{}[]",:0x\n\x00\xff')
    return bytes(spoilt)


def throw(served: Served, count: int, chance: random.Random) -> None:
    """Send `count` inputs, most on connections of their own that are given up in some way."""
    kept: list[socket.socket] = []
    for number in range(count):
        sock = connected(served)
        how = chance.randrange(4)
        try:
            sock.sendall(garbage(chance))
            if how < 2:
                sock.shutdown(socket.SHUT_WR)
            if how == 1:
                sock.recv(100)  # An answer, or the end of what was never a request.
        except (BrokenPipeError, ConnectionResetError):
            pass  # It has had enough of us.
        except TimeoutError:
            raise AssertionError(f"no answer to input {number}") from None
        if how == 1 or len(kept) > 30:
            sock.close()
        else:
            kept.append(sock)
        if len(kept) > 30:
            kept.pop(chance.randrange(len(kept))).close()
    for sock in kept:
        sock.close()


def test_wrong_requests_cost_the_master_nothing(start: Start) -> None:
    served = Served(start, "abused").launch()
    at_rest(served)
    chance = random.Random(chance_seed())
    before = descriptors(served)
    pids = [slot["pid"] for slot in client(served).status()["slots"]]
    throw(served, 4000 if PROOF else 500, chance)  # With 4,000 the record of what happened is full.
    begun = memory(served)
    for _ in range(8):
        throw(served, 2000 if PROOF else 200, chance)
        assert served.running.status is None
    until(lambda: descriptors(served) == before, "no descriptor is left")
    grown = memory(served) - begun
    print(f"{grown} kB more of the master's own after the first inputs")
    assert grown < 512 or not PROOF
    assert [slot["pid"] for slot in client(served).status()["slots"]] == pids
    assert served.stop() == 0


@pytest.mark.skipif(not root(), reason="only root can become another user")
@pytest.mark.parametrize(
    ("options", "who", "answered"),
    [
        ("", {"user": 65534, "group": 65534}, False),
        ('control_group="games"', {"user": 65534, "group": 65534, "extra_groups": []}, False),
        ('control_group="games"', {"user": 65534, "group": 60, "extra_groups": []}, True),
        ('control_group="games"', {"user": 65534, "group": 65534, "extra_groups": [7, 60]}, True),
    ],
    ids=["nobody", "of another group", "of the group", "of the group among others"],
)
def test_a_stranger_gets_nothing(open_start: Start, options: str, who: dict[str, int], answered: bool) -> None:
    served = Served(open_start, "strange", options=options).launch()
    pids = at_rest(served)
    if not options:  # A directory that is opened by mistake does not open the daemon.
        os.chmod(served.environment["RUNTIME_DIRECTORY"], 0o755)
        os.chmod(path(served), 0o666)
    before = descriptors(served)
    asked = subprocess.run(
        ["/usr/bin/python3", "-c", ASK, path(served)], capture_output=True, timeout=30, check=answered, **who
    )  # type: ignore[call-overload]
    if answered:
        assert b'"ok":true' in asked.stdout
        assert served.running.wait() == 0
        return
    assert asked.stdout.strip() in (b"65534 b''", b"")
    assert asked.stdout or b"PermissionError" in asked.stderr
    until(lambda: descriptors(served) == before, "nothing is left of it")
    assert client(served).status()["slots"][0]["pid"] == pids["web/0"]
    assert served.stop() == 0


def test_without_descriptors_it_waits_instead_of_spinning(start: Start) -> None:
    served = Served(start, "poor").launch()
    at_rest(served)
    master = served.running.pid
    used = descriptors(served) - 1
    resource.prlimit(master, resource.RLIMIT_NOFILE, (used, 4096))
    waiting = connected(served)
    waiting.sendall(b'{"protocol": 1, "request": "hello"}\n')
    spent = ticks(master)
    time.sleep(1.5)  # Not a wait for anything: what is measured is that little happens.
    assert ticks(master) - spent < 50
    resource.prlimit(master, resource.RLIMIT_NOFILE, (1024, 4096))
    assert b'"ok":true' in waiting.recv(1000)
    waiting.close()
    assert served.stop() == 0


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
