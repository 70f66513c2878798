"""A mold that passes another process off as the one that it has been told to fork, and plans that are too much."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest

from security.hostile import Hostile, needs_root, terms
from support import PROOF, Start, until
from system.daemons import alive
from system.other_user import anywhere

__all__ = ["anywhere"]  # A fixture.

pytestmark = [needs_root, pytest.mark.timeout(300)]

WAITS = """
import prefork._mold.mold as molds
from prefork._wire.messages import ForksEnded

def hello(descriptor):
    sock = socket.socket(fileno=descriptor)
    credentials = struct.pack("=iII", os.getpid(), os.getuid(), os.getgid())
    sock.sendmsg([b"=", b'{"message":"Hello"}'], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)])
    keep.append(sock)

def serve():
    while True:
        _, descriptors, *_ = socket.recv_fds(place, 100, 200)
        for each in descriptors:
            hello(each)
        note("said hello for another mold", os.getpid())

place = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
place.bind(chr(0) + "THEIRS")
threading.Thread(target=serve, daemon=True).start()
"""
"""The first mold: it says Hello on the channels that it gets from others."""

GIVES_AWAY = """
import prefork._mold.mold as molds
from prefork._wire.messages import ForksEnded

def forged(mold, count, channels, title, live):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", channels).tobytes())]
        sock.sendmsg([b"x"], rights, 0, chr(0) + "THEIRS")
    for each in channels:
        os.close(each)
    mold.send(ForksEnded(count, ""))

molds.fork_children = forged
"""
"""The second: it forks nothing, and gives the channels to the first."""

SAYS_IT_ITSELF = """
import prefork._mold.mold as molds
from prefork._wire.messages import ForksEnded

def forged(mold, count, channels, title, live):
    credentials = struct.pack("=iII", os.getpid(), os.getuid(), os.getgid())
    for each in channels:
        sock = socket.socket(fileno=each)
        sock.sendmsg([b"=", b'{"message":"Hello"}'], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)])
        keep.append(sock)
    mold.send(ForksEnded(count, ""))

molds.fork_children = forged
"""


OF_ITS_CHILD = """
import prefork._mold.mold as molds
from prefork._wire.messages import ForksEnded

def hello(sock):
    credentials = struct.pack("=iII", os.getpid(), os.getuid(), os.getgid())
    sock.sendmsg([b"=", b'{"message":"Hello"}'], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)])

def forged(mold, count, channels, title, live):
    if os.fork() == 0:
        if not ADOPTED or os.fork() == 0:
            for each in channels:
                hello(socket.socket(fileno=each))
            time.sleep(300)
        os._exit(0)
    if ADOPTED:
        os.wait()
    for each in channels:
        os.close(each)
    mold.send(ForksEnded(count, ""))

molds.fork_children = forged
"""
"""All channels are answered by one process: a child of the mold, or (ADOPTED) one that the master has adopted."""


@pytest.fixture
def hostile(anywhere: Start) -> Iterator[Hostile]:
    hostile = Hostile(anywhere)
    yield hostile
    assert hostile.stop() == 0, hostile.log()


def begin(hostile: Hostile, mold: str = "") -> dict[str, int]:
    hostile.mold_runs(mold.replace("THEIRS", str(hostile.theirs)))
    hostile.begin()
    return hostile.ready("web/0", "web/1")


def test_channel_that_an_older_mold_answers_on_makes_no_spare(hostile: Hostile) -> None:
    workers = begin(hostile, WAITS)
    older = hostile.mold
    before = terms(older)
    hostile.mold_runs(GIVES_AWAY.replace("THEIRS", str(hostile.theirs)))
    hostile.signal(signal.SIGHUP)
    hostile.until_noted("said hello for another mold")
    hostile.running.expect(f"pid {older} is not a new child of the master", "err")
    assert terms(older) == before
    os.kill(older, signal.SIGKILL)
    until(lambda: not alive(older), "the end of the older mold")
    hostile.until_served()
    status = hostile.client.status()
    assert {slot["pid"] for slot in status["slots"]} == set(workers.values())
    assert all(mold["spares"] <= 1 for mold in status["molds"])


FORGERS = {
    "the mold itself": SAYS_IT_ITSELF,
    "no process": GIVES_AWAY,
    "a child of the mold": OF_ITS_CHILD.replace("ADOPTED", "False"),
    "one process for all": OF_ITS_CHILD.replace("ADOPTED", "True"),
}


@pytest.mark.parametrize("forger", list(FORGERS) if PROOF else list(FORGERS)[:2])
def test_channel_that_no_new_process_takes_makes_no_spare(hostile: Hostile, forger: str) -> None:
    workers = begin(hostile)
    with hostile.unharmed():
        hostile.mold_runs(FORGERS[forger].replace("THEIRS", str(hostile.theirs) + "-nowhere"))
        hostile.signal(signal.SIGHUP)
        # Who answers on one channel only, as the master's own child, is a worker that never becomes ready.
        hostile.running.expect("not a new child of the master|the process exited before|failed", "err")
    assert {slot["pid"] for slot in hostile.client.status()["slots"]} == set(workers.values())


SLOW = {
    "the mold's": """
with suppress(OSError):
    send(prefork._mold.mold.own._channel._socket, b"=", b'{"message":"Busy"}', [lingering()])
note("sent slow")
""",
    "the mold's, and it exits": """
with suppress(OSError):
    send(prefork._mold.mold.own._channel._socket, b"=", b'{"message":"Busy"}', [lingering() for _ in range(3)])
note("sent slow")
os._exit(1)
""",
    "a newborn's": """
import prefork._mold.mold as molds
real = molds.fork_children
def forged(mold, count, channels, title, live):
    for each in channels:
        with suppress(OSError):
            send(socket.socket(fileno=os.dup(each)), b"=", b'{"message":"Hello"}', [lingering()])
    note("sent slow")
    real(mold, count, channels, title, live)
molds.fork_children = forged
""",
}


@pytest.mark.parametrize("channel", list(SLOW) if PROOF else list(SLOW)[:1])
def test_slow_descriptor_on_a_channel_of_births_does_nothing(hostile: Hostile, channel: str) -> None:
    begin(hostile)
    with hostile.unharmed():
        hostile.mold_runs(SLOW[channel])
        hostile.signal(signal.SIGHUP)
        hostile.until_noted("sent slow")


PLANS = {
    "workers": "forged_plan = [Web(n) for n in range(60_000)]",
    "bytes": "forged_plan = [Web(n, 'x' * 100_000) for n in range(200)]",
    "unterminated": """
import prefork._wire.plan_memory as memory
def write(descriptor, plan):
    os.pwrite(descriptor, b'"' * memory.LIMIT, 0)
    return memory.LIMIT
memory.write = write
""",
    "lists": """
import prefork._wire.plan_memory as memory
def write(descriptor, plan):
    data = b'[' + b'[],' * 2_600_000 + b'[]]'
    os.pwrite(descriptor, data, 0)
    return len(data)
memory.write = write
""",
    "size": """
import prefork._wire.plan_memory as memory
memory.write = lambda descriptor, plan: 2**62
""",
}


@pytest.mark.parametrize("plan", list(PLANS) if PROOF else list(PLANS)[1:3])
def test_plan_that_is_too_much_is_refused_with_the_reason(anywhere: Start, plan: str) -> None:
    hostile = Hostile(anywhere)
    begin(hostile)
    with hostile.unharmed():
        hostile.mold_runs(PLANS[plan])
        hostile.signal(signal.SIGHUP)
        failed = r"reload: failed|failed to (start|plan)|are the most|a plan of|plan is not JSON"
        hostile.watch(lambda: bool(re.search(failed, hostile.told())), "the refusal")
    assert hostile.stop() == 0
