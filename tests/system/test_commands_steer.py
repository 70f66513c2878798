"""The commands that change a daemon: each waits for the outcome, says how far it is, and ends with what came of it."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import prefork
from support import PATIENCE, PROOF, Start, gone, until
from system.commanded import Commanded

POOL = "[prefork.Pool(Web, size=2, min=1, max=5)]"

# A plan that takes its time: it goes on when a process writes to the gate.
GATED = f"{POOL} if not os.path.exists('gate') or open('gate').read() is not None else []"

READS = "[Web(i, open('text').read()) for i in range(int(open('size').read()))]"


@pytest.fixture(scope="module")
def shared(module_start: Start) -> Iterator[Commanded]:
    served = Commanded(module_start, "pool", plan=GATED)
    served.launch()
    served.at_rest("web/0", "web/1")
    yield served
    ended_well(served)


@pytest.fixture
def pool(shared: Commanded) -> Iterator[Commanded]:
    """The daemon that most tests here share, at rest before and after, with two workers."""
    good = shared.file.read_text()
    yield shared
    (shared.start.directory / "gate").unlink(missing_ok=True)
    shared.file.write_text(good)
    until(shared.rests, "the daemon at rest")
    assert shared.pids().keys() == {"web/0", "web/1"}


def ended_well(served: Commanded) -> None:
    assert served.stop() == 0


def done(text: str) -> int:
    """Return the generation that a reload has brought; one that fails uses up a number, too."""
    match = re.fullmatch(r"reload: done \(generation (\d+)\)", text)
    assert match, text
    return int(match[1])


class TestReload:
    def test_on_good_code_it_shows_each_slot_and_exits_0(self, pool: Commanded) -> None:
        before, old = pool.pids(), pool.client.status()["generation"]
        reload = pool.command("reload")
        assert reload.wait() == 0
        (said,) = reload.out
        new = done(said)
        assert new > old
        assert reload.err[:2] == [f"reload: importing generation {new}", f"reload: generation {new} is planned"]
        after = pool.pids()
        for number, line in enumerate(reload.err[2:], 1):
            match = re.fullmatch(rf"(\S+)  ready after \S+ s \(pid (\d+), generation {new}\)  \((\d) of 2\)", line)
            assert match, line
            assert (after[match[1]], int(match[3])) == (int(match[2]), number)
        assert len(reload.err) == 4
        assert set(before.values()) & set(after.values()) == set()
        assert all(gone(pid) for pid in before.values())

    @pytest.mark.parametrize(
        ("spoil", "told"),
        [
            (lambda text: text.replace("def plan():", "def plan(:"), "SyntaxError"),
            (lambda text: text.replace("import os,", "import nosuch, os,"), "ModuleNotFoundError: No module named"),
            (lambda text: text.replace("    return [", "    return 1 // 0, ["), "ZeroDivisionError"),
            (lambda text: text.replace("    worker.ready()", "    raise OSError('no host')"), "OSError: no host"),
        ],
        ids=["syntax", "import", "plan", "worker"],
    )
    def test_on_broken_code_it_prints_the_traceback_and_exits_1(self, pool: Commanded, spoil, told: str) -> None:  # type: ignore[no-untyped-def]
        before = pool.pids()
        pool.file.write_text(spoil(pool.file.read_text()))
        reload = pool.command("reload")
        assert reload.wait() == 1
        assert reload.out == []
        said = "\n".join(reload.err)
        assert "prefork: reload: failed" in said
        assert re.search(r'File "[^"]*program\.py", line \d+', said)
        assert told in said
        assert pool.pids() == before
        assert pool.ask()[2] in before.values()

    def test_for_programs_it_is_one_object(self, pool: Commanded) -> None:
        reloaded = pool.json("reload")
        assert reloaded == {"ok": True, "text": reloaded["text"]}
        assert done(reloaded["text"]) == pool.client.status()["generation"]
        pool.file.write_text("oh no")
        failed = pool.json("reload", status=1)
        assert failed["ok"] is False
        assert "SyntaxError" in failed["text"]

    def test_on_a_terminal_the_slots_stand_above_a_bar(self, pool: Commanded) -> None:
        ours, theirs = pty.openpty()
        reload = pool.command("reload", stderr=theirs, env={"TERM": "xterm", "COLUMNS": "100"})
        os.close(theirs)
        reload.listen("err", ours)
        assert reload.wait() == 0
        (said,) = reload.out
        shown, new = "\n".join(reload.err), done(said)
        for key, pid in pool.pids().items():
            assert re.search(rf"{key}  ready after \S+ s \(pid {pid}, generation {new}\)", shown)
        assert "2/2" in shown or "1/2" in shown
        os.close(ours)


def test_a_replan_changes_what_differs_and_plan_says_so_before(start: Start) -> None:
    (start.directory / "size").write_text("2")
    (start.directory / "text").write_text("one")
    served = Commanded(start, "reads", plan=READS)
    served.launch()
    before = served.at_rest("web/0", "web/1")
    assert served.says("plan", "--replan") == "a replan would change nothing"
    (start.directory / "size").write_text("3")
    assert served.says("plan", "--replan").split("\n") == ["a replan would add 1, keep 2", "  + web/2"]
    assert served.says("plan").split("\n") == ["a reload would add 1, renew 2", "  + web/2"]
    assert served.pids() == before
    assert served.says("replan") == "replan: done (generation 1)"
    after = served.pids()
    assert {key: after[key] for key in before} == before
    (start.directory / "size").write_text("1")
    (start.directory / "text").write_text("two")
    would = served.json("plan", "--replan")
    assert (would["removed"], would["replaced"]) == (["web/1", "web/2"], {"web/0": ["parameters"]})
    served.says("replan")
    until(lambda: served.pids().keys() == {"web/0"}, "web/0 alone")  # Who is not wanted any more drains after it.
    assert served.ask()[3] == "two"
    (start.directory / "size").write_text("many")
    assert "ValueError" in served.refuses("plan", "--replan")
    assert "ValueError" in served.refuses("replan").split("\n", 1)[1]
    assert served.pids().keys() == {"web/0"}
    ended_well(served)


def test_scale_gives_a_pool_another_size_until_auto(pool: Commanded) -> None:
    assert pool.says("scale", "web", "4") == "web: scaled to 4"
    assert pool.pids().keys() == {"web/0", "web/1", "web/2", "web/3"}
    pool.says("reload")
    assert len(pool.pids()) == 4
    assert "pool web: 4 workers (min 1, max 5, 2 planned)" in pool.says("status")
    pool.says("scale", "web", "auto")
    assert pool.pids().keys() == {"web/0", "web/1"}
    assert pool.refuses("scale", "web", "6") == "prefork: web: scale to 6 refused: the pool takes 1 to 5 workers"
    assert "no pool nix; it has web" in pool.refuses("scale", "nix", "1")
    assert "'web x' is not a pool and its number of workers" in pool.refuses("scale", "web", "x", status=2)
    assert pool.says("scale", "3").endswith("web: scaled to 3")
    assert pool.says("scale", "web", "-1").endswith("web: scaled to 2")
    assert pool.says("scale", "+1").endswith("web: scaled to 3")
    assert "there is no pool nix" in pool.refuses("scale", "nix", "+1")
    restarted = pool.says("restart", "web")
    assert all(f"restart: done (web/{number})" in restarted for number in range(3))
    pool.says("scale", "auto")


def test_restart_replaces_one_worker_and_no_other(pool: Commanded) -> None:
    before = pool.pids()
    assert pool.says("restart", "web/1") == "restart: done (web/1)"
    after = pool.pids()
    assert after["web/0"] == before["web/0"]
    assert after["web/1"] != before["web/1"]
    assert gone(before["web/1"])
    assert "there is no slot web/9" in pool.refuses("restart", "web/9")


@pytest.mark.parametrize("size", [-1, 2.5, True, "x", "-1"])
def test_a_client_refuses_what_is_no_size(pool: Commanded, size: Any) -> None:
    with pytest.raises(prefork.UsageError, match="invalid pool size"):
        pool.client.scale("web", size)


def test_stop_returns_when_the_master_has_gone(start: Start) -> None:
    served = Commanded(start, "stopped")
    served.launch()
    served.at_rest("web/0", "web/1")
    stop = served.command("stop")
    assert stop.wait() == 0
    assert gone(served.running.pid, timeout=0)
    assert stop.out == ["stopped"]
    assert served.running.wait() == 0
    assert {line.split("  ")[0] for line in stop.err} == {"web/0", "web/1"}
    for command in ("status",), ("reload",), ("stop",), ("scale", "web", "3"), ("events",), ("plan",):
        assert served.refuses(*command, status=3).startswith("prefork: no daemon is running in ")
    assert served.refuses("status", "web/0", status=3).endswith("`prefork explain web/0` shows a slot)")


def test_a_command_that_is_interrupted_leaves_it_to_the_daemon(pool: Commanded) -> None:
    os.mkfifo(pool.start.directory / "gate")
    reload = pool.command("reload")
    new = int(reload.expect(r"importing generation (\d+)", "err")[1])
    reload.send(signal.SIGINT)
    assert reload.wait() == 130
    assert reload.err[-1].startswith("prefork: interrupted; the command continues in the daemon")
    (pool.start.directory / "gate").write_text("")
    pool.ready("web/0", "web/1", generation=new)


COMMANDS = {
    "reload": ["reload"],
    "replan": ["replan"],
    "plan": ["plan"],
    "restart": ["restart", "web/0"],
    "scale": ["scale", "web", "4"],
    "events": ["events", "--follow"],
    "status": ["status"],
}


@pytest.mark.parametrize("command", list(COMMANDS) if PROOF else list(COMMANDS)[:2])
def test_a_client_that_is_killed_in_the_middle_harms_nothing(pool: Commanded, command: str) -> None:
    words = COMMANDS[command]
    before, descriptors, gate = pool.pids(), asked_descriptors(pool), pool.start.directory / "gate"
    os.mkfifo(gate)
    blocking = pool.command("replan")  # Whatever is asked for now waits behind this.
    until(lambda: pool.client.status()["change"] is not None, "a change under way")
    doomed = pool.command(*words)
    if command in ("status", "events"):
        doomed.expect_lines(1)
    else:
        until(lambda: waits(pool, words), "the command taken up")
    doomed.send(signal.SIGKILL)
    blocking.send(signal.SIGKILL)
    assert doomed.wait() in (-signal.SIGKILL, 0)
    blocking.wait()
    while pool.client.status()["change"] is not None:
        feed(gate)
    until(pool.rests, "the daemon at rest")
    after = pool.pids()
    expected = descriptors + 2 * (len(after) - 2)  # A channel and a pidfd for each worker more.
    until(lambda: asked_descriptors(pool) == expected, "no descriptor of it is left")
    kept = {key: pid for key, pid in after.items() if before.get(key) == pid}
    if command == "reload":  # It had been asked, and was done.
        assert kept == {}
    elif command == "restart":
        assert kept == {"web/1": before["web/1"]}
    else:
        assert kept == before
    assert len(after) == (4 if command == "scale" else 2)
    gate.unlink()
    if command == "scale":
        pool.client.scale("web", "auto")
    assert pool.says("restart", "web/1").startswith("restart: done ")


def test_a_stop_whose_client_is_killed_is_carried_out(start: Start) -> None:
    served = Commanded(start, "stopped", plan="[Web(0)]")
    served.write(
        served.file.read_text().replace("with connection:", "with connection:\n            connection.recv(1)")
    )
    served.launch()
    served.at_rest("web/0")
    with socket.create_connection(("127.0.0.1", served.port)):
        doomed = served.command("stop")
        until(lambda: served.client.status()["stopping"], "its stopping")
        doomed.send(signal.SIGKILL)
        doomed.wait()
        assert served.client.status()["slots"][0]["state"] == "draining"
    assert served.running.wait() == 0
    assert not served.running.left()


def waits(served: Commanded, command: list[str]) -> bool:
    """Whether the daemon has taken up a command: it is queued, or done at once."""
    status = served.client.status()
    if command[0] == "scale":
        return len(status["slots"]) == 4
    name = "preview" if command[0] == "plan" else command[0]
    return len([one for one in status["queue"] if one["what"] == name]) > 0


def feed(gate: Path) -> bool:
    """Let a plan that waits at the gate go on, if one does."""
    try:
        descriptor = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False  # ENXIO: no process waits there.
    os.close(descriptor)
    return True


def asked_descriptors(served: Commanded) -> int:
    """Return how many descriptors a master has while a client asks."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(f"{served.environment['RUNTIME_DIRECTORY']}/control.sock")
        sock.sendall(b'{"protocol": 1, "request": "hello"}\n')
        assert b'"ok":true' in sock.recv(1000)
        return len(os.listdir(f"/proc/{served.running.pid}/fd"))
