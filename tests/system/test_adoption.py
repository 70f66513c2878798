"""A master is killed and another one started: it adopts the workers, which serve on as if nothing had happened."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

import prefork.client
from prefork._core.kept.snapshot import MalformedSnapshot
from prefork._master.adoption import notes
from prefork.client import SlotState
from support import PROOF, Start, gone, until
from system.daemons import HEAD, RUN, SERVE, Served, root
from system.other_user import AsNobody
from system.other_user import anywhere as anywhere
from system.test_daemon_under_load import Clients
from system.test_takeover import SLOW, Shop

KILLS = 20 if PROOF else 2

SHARDED = """
daemon = prefork.Daemon("adopted", listeners={"http": prefork.Listener("tcp://127.0.0.1:PORT", sharing="sharded")})

@daemon.plan
def plan():
    return [Web(number) for number in range(3)]
"""

SINGLE = """
daemon = prefork.Daemon("adopted", listeners={"http": "tcp://127.0.0.1:PORT"})

@dataclass(frozen=True)
class Only(prefork.WorkerContext):
    id: int

@daemon.plan
def plan():
    return [Web(0), Only(0)]

@daemon.worker(Only, replace="old-first")
def only(worker):
    place = os.open("only.lock", os.O_CREAT | os.O_RDWR)
    import fcntl
    fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    worker.wait_draining()
"""


def slots(served: Served) -> dict[str, SlotState]:
    status = prefork.client.connect(str(served.start.directory / "runtime")).status()
    return {slot["key"]: slot for slot in status["slots"]}


def launched(start: Start, *keys: str, source: str | None = None) -> tuple[Served, dict[str, int]]:
    """Return a daemon whose master has noted that these workers are ready, and their pids."""
    served = Served(start, "adopted", source).launch()
    pids = served.ready(*keys)
    until(lambda: {slots(served)[key]["state"] for key in keys} == {"ready"}, "workers that are ready")
    until(lambda: noted(served) >= set(pids.values()), "the master's note of them")
    return served, pids


def noted(served: Served) -> set[int]:
    """Return the pids of the workers that the next master would find in the notes."""
    try:
        note = notes.latest(str(served.start.directory / "runtime"))
    except MalformedSnapshot:  # One is being written, and there is no other yet.
        return set()
    return set() if note is None else set(note[1].workers)


def killed(served: Served) -> None:
    """Kill the master, and start another one, which is to adopt the workers."""
    served.signal(signal.SIGKILL)
    served.running.wait()
    served.launch()
    served.running.expect(r"adopted \d+ workers? of a killed master", "err")


def answers_of(served: Served, *pids: int) -> None:
    """Wait for an answer of each of these workers, and of no other one."""
    seen: set[int] = set()

    def each() -> bool:
        seen.add(served.ask()[2])
        return seen >= {*pids}

    until(each, f"an answer of {pids}")
    assert seen == {*pids}


def settled(served: Served) -> None:
    served.running.expect("replan: done", "err")


def test_workers_keep_pid_slot_and_generation(start: Start) -> None:
    served, old = launched(start, "web/0", "web/1")
    for _ in range(2):
        killed(served)
        settled(served)
        found = slots(served)
        assert {key: slot["pid"] for key, slot in found.items()} == old
        assert {(slot["generation"], slot["restarts"]) for slot in found.values()} == {(1, 0)}
    assert {served.ask()[2] for _ in range(20)} <= {*old.values()}
    assert served.stop() == 0
    assert all(gone(pid, 0) for pid in old.values())


@pytest.mark.timeout(1200 if PROOF else 120)
def test_master_killed_under_load_fails_no_request(start: Start) -> None:
    served, old = launched(start, "web/0", "web/1")
    with Clients(served, 4) as clients:
        for _ in range(KILLS):
            clients.more(50)
            killed(served)
            clients.more(50)
            settled(served)
    assert clients.failures == []
    assert {answer[2] for answer in clients.answers} == {*old.values()}
    assert served.stop() == 0


def test_adopted_worker_that_dies_is_replaced(start: Start) -> None:
    served, old = launched(start, "web/0", "web/1")
    killed(served)
    settled(served)
    os.kill(old["web/0"], signal.SIGSEGV)
    served.running.expect(r"web/0: killed by SIGSEGV", "err")
    new = served.ready("web/0")["web/0"]
    answers_of(served, new, old["web/1"])
    assert served.stop() == 0


def test_worker_that_dies_without_a_master_is_replaced(start: Start) -> None:
    served, old = launched(start, "web/0", "web/1")
    served.signal(signal.SIGKILL)
    served.running.wait()
    os.kill(old["web/0"], signal.SIGKILL)
    assert gone(old["web/0"])
    served.launch()
    served.running.expect("adopted 1 worker of", "err")
    new = served.ready("web/0")
    assert slots(served)["web/1"]["pid"] == old["web/1"]
    assert slots(served)["web/0"]["pid"] == new["web/0"]
    assert served.stop() == 0


def test_reload_after_an_adoption_replaces_every_worker(start: Start) -> None:
    served, old = launched(start, "web/0", "web/1")
    with Clients(served, 2) as clients:
        clients.more(20)
        killed(served)
        settled(served)
        served.signal(signal.SIGHUP)
        new = served.ready("web/0", "web/1", generation=2)
        assert all(gone(pid) for pid in old.values())
        clients.more(20)
    assert clients.failures == []
    assert {served.ask()[2] for _ in range(20)} <= {*new.values()}
    assert served.stop() == 0


def test_shards_are_adopted_with_their_order(start: Start) -> None:
    """A shard whose slot had no worker is lost; each other one gets its slot's next worker, and connections."""
    served, old = launched(start, "web/0", "web/1", "web/2", source=HEAD + SHARDED + SERVE + RUN)
    with Clients(served, 4) as clients:
        clients.more(20)
        for _ in range(KILLS):
            killed(served)
            settled(served)
            clients.more(20)
        victim = old["web/1"]
        os.kill(victim, signal.SIGTERM)  # It drains: connections must not be sent to its shard any more.
        new = served.ready("web/1")["web/1"]
        clients.more(50)
    assert clients.failures == []
    answers_of(served, old["web/0"], new, old["web/2"])
    assert served.stop() == 0


def test_singleton_never_runs_twice_and_runs_again(start: Start) -> None:
    served, old = launched(start, "web/0", "only/0", source=HEAD + SINGLE + SERVE + RUN)
    for _ in range(KILLS):
        killed(served)
        served.ready("only/0")
        assert slots(served)["web/0"]["pid"] == old["web/0"]
    assert served.stop() == 0
    assert not [line for line in served.running.err if "BlockingIOError" in line]


def test_changed_plan_is_applied_after_an_adoption(start: Start) -> None:
    served, old = launched(start, "web/0", "web/1")
    served.write(plan="[Web(0), Web(1), Web(2)]")
    killed(served)
    served.ready("web/2")
    settled(served)
    assert {key: slots(served)[key]["pid"] for key in old} == old
    assert served.stop() == 0


def test_broken_code_leaves_adopted_workers_alone(start: Start) -> None:
    served, old = launched(start, "web/0", "web/1")
    served.write(plan="1 / 0")
    killed(served)
    served.running.expect("ZeroDivisionError", "err")
    assert served.ask()[2] in old.values()
    served.write()
    served.signal(signal.SIGHUP)
    served.ready("web/0", "web/1", generation=2)
    assert served.stop() == 0


def test_captured_output_is_read_again(start: Start) -> None:
    shop = Shop(start, "--capture")
    run = shop.run(SLOW.format(version="1", importing=0, starting=0))
    run.ready()
    pids = run.pids(2)
    run.running.send(signal.SIGKILL)
    run.running.wait()
    run = shop.run(SLOW.format(version="1", importing=0, starting=0))
    run.running.expect("adopted 2 workers", "err")

    def is_read() -> bool:
        assert run.who()[0] in pids
        run.running._take(0)
        return any(re.search(r"web/\d.*asked \d+$", line) for line in run.running.out)

    until(is_read, "a line of a worker")
    run.running.expect(r"web/\d.*asked too$", "err")
    assert run.stop() == 0


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ("truncated", "the snapshot is truncated"),
        ("changed", "the snapshot's checksum is wrong"),
        ("program", "it runs another program"),
    ],
)
def test_what_cannot_be_adopted_is_replaced_and_named(start: Start, harm: str, why: str) -> None:
    served, old = launched(start, "web/0", "web/1")
    served.signal(signal.SIGKILL)
    served.running.wait()
    program = Path("program.py")
    if harm == "program":
        program = Path("other.py")
        (start.directory / program).write_text(served.file.read_text())
    for note in (start.directory / "runtime").glob("workers-*"):
        data = note.read_bytes()
        changed = data[:-10] if harm == "truncated" else data[:-10] + b"0123456789" if harm == "changed" else data
        note.write_bytes(changed)
    served.launch(sys.executable, program)
    served.running.expect(f"orphans: the workers of a previous master cannot be adopted: .*{why}", "err")
    new = served.ready("web/0", "web/1")
    assert all(gone(pid) for pid in old.values())
    assert {served.ask()[2] for _ in range(10)} <= {*new.values()}
    assert served.stop() == 0


def test_worker_that_hangs_is_not_adopted_and_others_are(start: Start) -> None:
    """It is drained as an orphan; the queue that it shares with the others stays open."""
    served, old = launched(start, "web/0", "web/1")
    os.kill(old["web/0"], signal.SIGSTOP)
    killed(served)
    served.ready("web/0")
    os.kill(old["web/0"], signal.SIGCONT)
    assert gone(old["web/0"])
    assert {served.ask()[2] for _ in range(20)} <= {slots(served)[key]["pid"] for key in old}
    assert served.stop() == 0


@pytest.mark.skipif(not root(), reason="only root can have another user's workers")
def test_workers_of_another_user_are_adopted(anywhere: Start) -> None:
    served = AsNobody(anywhere, "adopted")
    served.begin()
    old = served.ready("web/0", "web/1")
    served.running.expect("program: ready", "err")  # By then they are in the master's note.
    assert all(os.stat(f"/proc/{pid}").st_uid for pid in old.values())
    served.signal(signal.SIGKILL)
    served.running.wait()
    for name in ("python", "packages", "ours"):  # The next one makes them in a mount namespace of its own.
        (anywhere.directory / name).rmdir()
    served.begin()
    served.running.expect("adopted 2 workers", "err")
    settled(served)
    assert {key: slot["pid"] for key, slot in slots(served).items()} == old
    assert served.stop() == 0
