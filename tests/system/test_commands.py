"""What the commands show of a daemon: the truth, as far as /proc can tell, and what happened to it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import Start, children, state, until
from system.commanded import PREFORK, Commanded
from system.daemons import HEAD, RUN, title

TICKS = os.sysconf("SC_CLK_TCK")

BUSY = (
    HEAD
    + """
daemon = prefork.Daemon("busy", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        with connection, worker.request("GET /orders"):
            say("asked", worker.key)
            connection.recv(1)
"""
    + RUN
)

FINISHES = """
@dataclass(frozen=True)
class Once(prefork.WorkerContext):
    pass

@daemon.worker(Once, restart="never")
def once(worker):
    worker.ready()
"""

FAILS = """
@dataclass(frozen=True)
class Broken(prefork.WorkerContext):
    pass

@daemon.worker(Broken)
def broken(worker):
    raise RuntimeError("no such host")
"""


@pytest.fixture(scope="module")
def pair(module_start: Start) -> Iterator[Commanded]:
    """A daemon that most tests here share; only one of them restarts web/0."""
    served = Commanded(module_start, "pair")
    served.launch()
    served.at_rest("web/0", "web/1")
    yield served
    assert served.stop() == 0


def since_boot(pid: int) -> float:
    """Return when a process was started, in seconds since 1970."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / TICKS


def processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> dict[str, int]:
    found = re.findall(r"^(Private|Shared)_\w+:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    return {kind: sum(int(size) * 1024 for name, size in found if name == kind) for kind in ("Private", "Shared")}


def agrees_with_proc(slot: dict[str, Any], master: int) -> None:
    pid = slot["pid"]
    assert pid in children(master)
    assert title(pid).startswith(f"prefork: {slot['key']} g{slot['generation']} ")
    assert os.getsid(pid) == pid
    assert since_boot(pid) - 0.05 <= slot["since"] <= time.time()
    assert 0 <= processor(pid) - slot["cpu"] < 1
    assert slot["in_flight"] >= 0


def leaving(busy: Commanded) -> list[str]:
    (slot,) = busy.client.status()["slots"]
    return [worker["state"] for worker in slot["leaving"]]


class TestStatus:
    def test_all_that_it_says_of_a_slot_agrees_with_proc(self, pair: Commanded) -> None:
        seen = pair.json("status", "--memory")
        assert seen["pid"] == pair.running.pid
        assert [slot["key"] for slot in seen["slots"]] == ["web/0", "web/1"]
        for slot in seen["slots"]:
            agrees_with_proc(slot, seen["pid"])
            assert slot["memory"] == {name.lower(): size for name, size in memory(slot["pid"]).items()}
        (mold,) = seen["molds"]
        assert mold["pid"] == pair.mold
        workers = {slot["pid"] for slot in seen["slots"]}
        assert len(set(pair.running.children()) - workers - {mold["pid"]}) == mold["spares"] == 1

    def test_it_goes_on_agreeing_after_deaths_reloads_and_scaling(self, start: Start) -> None:
        pool = Commanded(start, "pool", plan="[prefork.Pool(Web, size=2, max=4)]")
        pool.launch()
        pids = pool.at_rest("web/0", "web/1")
        os.kill(pids["web/1"], signal.SIGKILL)
        until(lambda: pool.pids()["web/1"] != pids["web/1"], "another one")
        slot = pool.slots()["web/1"]
        assert (slot["last_exit"], slot["restarts"]) == ("killed by SIGKILL", 1)
        assert state(pids["web/1"]) == "X"
        pool.says("reload")
        pool.says("scale", "web", "3")
        slots = pool.slots()
        assert {key: slot["generation"] for key, slot in slots.items()} == {"web/0": 2, "web/1": 2, "web/2": 2}
        for slot in slots.values():
            agrees_with_proc(slot, pool.running.pid)
        assert slots["web/0"]["last_exit"] == "exited 0"
        assert completed(pool, "prefork scale w") == {"web"}
        assert pool.stop() == 0

    def test_what_is_in_flight_is_shown_and_so_is_who_leaves(self, start: Start) -> None:
        busy = Commanded(start, "busy", BUSY)
        busy.launch()
        busy.at_rest("web/0")
        with socket.create_connection(("127.0.0.1", busy.port)):
            busy.running.expect("asked web/0")
            slot = busy.slots()["web/0"]
            assert (slot["in_flight"], slot["doing"]) == (1, "GET /orders")
            assert re.search(r"^web/0 +ready .* 1 +GET /orders ", busy.says("status"), re.M)
        until(lambda: busy.slots()["web/0"]["requests"] == 1, "the request counted")
        slot = busy.slots()["web/0"]
        assert (slot["in_flight"], slot["doing"]) == (0, None)
        self._leaves(busy, slot["pid"])
        assert busy.stop() == 0

    def _leaves(self, busy: Commanded, old: int) -> None:
        """See that a worker that leaves has a line of its own."""
        with socket.create_connection(("127.0.0.1", busy.port)):
            busy.running.expect("asked web/0")
            reload = busy.command("reload", "--json")
            new = busy.ready("web/0", generation=2)["web/0"]
            until(
                lambda: [one["state"] for one in busy.client.status()["slots"][0]["leaving"]] == ["draining"],
                "the old one",
            )
            slot = busy.slots()["web/0"]
            assert (slot["pid"], slot["leaving"][0]["pid"]) == (new, old)
            assert (slot["leaving"][0]["in_flight"], slot["leaving"][0]["doing"]) == (1, "GET /orders")
            assert re.search(rf"^ └ +draining +{old} +1 ", busy.says("status"), re.M)
            assert state(old) != "X"
        assert reload.wait() == 0
        assert busy.slots()["web/0"]["leaving"] == []

    def test_the_table_has_the_same(self, pair: Commanded) -> None:
        pids = pair.pids()
        said = pair.says("status", "--memory", "--traffic", "0").split("\n")
        head, listener, _, latency, columns, *rows = filter(None, said)
        assert re.fullmatch(rf"pair: 2 of 2 slots served, generation 1, pid {pair.running.pid}, up \S+ s", head)
        assert re.fullmatch(r"listener http: tcp://127\.0\.0\.1:\d+, 0 of \d+ waiting", listener)
        assert latency == "latency: p50 -, p95 -, p99 - (0 requests since the start)"
        assert {"SLOT", "PRIVATE", "P95", "P99"} <= set(columns.split())
        for row, (key, pid) in zip(rows, pids.items(), strict=True):
            words = row.split()
            assert words[:4] == [key, "ready", str(pid), "1"]
            assert words[5:10] == ["0", "0", "-", "-", "-"]
            private, shared = (float(word.removesuffix("M")) * 1e6 for word in words[11:13])
            assert abs(private - memory(pid)["Private"]) < 6e5
            assert abs(shared - memory(pid)["Shared"]) < 6e5

    def test_traffic_is_measured_for_a_time(self, pair: Commanded) -> None:
        seen = pair.json("status", "--traffic", "0.1")
        assert 0.1 <= seen["traffic"]["seconds"] < 30
        assert seen["traffic"]["latency"] == {"count": 0, "p50": None, "p95": None, "p99": None}
        assert [listener["waiting"] for listener in seen["listeners"]] == [0]

    def test_it_imports_nothing_that_it_does_not_need(self, pair: Commanded) -> None:
        run = pair.start.command(sys.executable, "-X", "importtime", PREFORK, "status", env=pair.environment)
        assert run.wait() == 0
        imported = {line.rpartition("|")[2].strip() for line in run.err}
        heavy = {"asyncio", "difflib", "logging", "msgspec", "rich", "subprocess", "textual", "tomllib", "tempfile"}
        assert imported & heavy == set()
        assert "prefork.scoreboard" in imported

    def test_a_master_that_does_not_answer_is_not_waited_for(self, pair: Commanded) -> None:
        where, pid = pair.environment["RUNTIME_DIRECTORY"], pair.running.pid
        late = [f"prefork: the daemon in {where} did not answer within 5 s"]
        waits = f"prefork: the daemon in {where} does not answer yet; waiting"
        waits_for = f"{waits}: its master is stopped by a signal, and goes on after `kill -CONT {pid}`"
        os.kill(pair.running.pid, signal.SIGSTOP)
        until(lambda: state(pair.running.pid) == "T", "it has stopped")
        assert pair.refuses("status").splitlines() == [waits_for, *late]
        with contextlib.ExitStack() as waiting:
            with contextlib.suppress(BlockingIOError):
                while True:  # Until there is no room to wait in.
                    sock = waiting.enter_context(socket.socket(socket.AF_UNIX))
                    sock.setblocking(False)
                    sock.connect(f"{pair.environment['RUNTIME_DIRECTORY']}/control.sock")
            assert pair.refuses("status").splitlines() == [waits, *late]
        os.kill(pair.running.pid, signal.SIGCONT)


class TestCheck:
    def test_it_says_whether_all_is_well(self, pair: Commanded) -> None:
        assert pair.says("status", "--check") == "2 slots served"
        assert pair.json("status", "--check") == {"ok": True, "text": "2 slots served"}

    def test_it_names_what_is_not_served_and_why(self, start: Start) -> None:
        served = Commanded(start, "ill", plan="[Web(0), Broken()]", more=FAILS)
        served.launch()
        served.ready("web/0")
        served.running.expect("broken: .* degraded", "err")
        assert re.match(r"broken (degraded|starting) \(exited 1\)", served.refuses("status", "--check"))
        told = served.json("status", "--check", status=1)
        assert not told["ok"]
        assert served.stop() == 0

    def test_a_daemon_without_a_plan_is_not_ready(self, start: Start) -> None:
        served = Commanded(start, "slow", plan="[Web(0), Web(1), *open('gate').read()]")
        os.mkfifo(start.directory / "gate")
        served.launch()
        until(lambda: os.path.exists(f"{served.environment['RUNTIME_DIRECTORY']}/control.sock"), "its socket")
        assert served.refuses("status", "--check") == "no plan yet: the application is still being imported"
        (start.directory / "gate").write_text("")
        served.at_rest("web/0", "web/1")
        assert served.stop() == 0


class TestHistory:
    def test_explain_tells_why_a_worker_was_replaced_and_by_whom(self, pair: Commanded) -> None:
        pids = pair.pids()
        os.kill(pids["web/0"], signal.SIGSEGV)
        until(lambda: pair.pids()["web/0"] not in (None, pids["web/0"]), "another one")
        pair.says("restart", "web/0")
        new = pair.pids()["web/0"]
        story = pair.says("explain", "web/0").split("\n")
        assert story[0].startswith(f"web/0: ready, pid {new}, generation 1, for ")
        said = [re.sub(r"^(\S+ )?[\d:.]+  ", "", line) for line in story[1:]]
        assert said[0] == f"started (generation 1, pid {pids['web/0']}): daemon start"
        assert any(re.match(rf"killed by SIGSEGV after .* \(pid {pids['web/0']}, generation 1\)", one) for one in said)
        assert any(re.search(r"pid \d+\): previous worker killed by SIGSEGV", one) for one in said)
        asked = [one for one in said if "restart web/0 requested by" in one]
        assert asked[0].startswith(f"started (generation 1, pid {new}): ")
        assert pair.json("explain", "web/0")["slot"]["pid"] == new

    def test_a_slot_that_never_was_is_refused(self, pair: Commanded) -> None:
        assert pair.refuses("explain", "web/7") == "prefork: there is no slot web/7"

    def test_events_are_numbered_and_followed_until_the_daemon_ends(self, start: Start) -> None:
        served = Commanded(start, "followed")
        served.launch()
        served.at_rest("web/0", "web/1")
        before = [json.loads(line) for line in served.says("events", "--json").split("\n")]
        assert [event["event"] for event in before[:3]] == ["started", "change", "mold_started"]
        follower = served.command("events", "--follow", "--json")
        follower.expect_lines(len(before))
        served.says("restart", "web/1")
        follower.expect('"event":"command","command":"restart","slot":"web/1"')
        follower.expect('"what":"restart","stage":"done"')
        assert served.stop() == 0
        assert follower.wait() == 0
        events = [json.loads(line) for line in follower.out]
        assert events[: len(before)] == before
        assert [event["number"] for event in events] == list(range(1, len(events) + 1))
        assert (events[-1]["what"], events[-1]["stage"]) == ("stop", "done")
        assert served.refuses("status", "--check", status=3).startswith("prefork: no daemon is running in ")
        assert completed(served, "prefork restart w") == {""}

    def test_a_reader_that_has_seen_enough_is_no_error(self, pair: Commanded) -> None:
        line = f"{shlex.quote(str(PREFORK))} events --follow --json | head -n 1"
        piped = pair.start.command("sh", "-c", line, env=pair.environment)
        piped.expect('"event":"started"')
        pair.says("restart", "web/1")  # What it writes next, no process reads.
        assert piped.wait() == 0
        assert piped.err == []

    def test_ctrl_c_ends_the_watching_and_nothing_else(self, pair: Commanded) -> None:
        events = pair.command("events", "--follow")
        events.expect("master started")
        events.send(signal.SIGINT)
        assert events.wait() == 130
        assert pair.says("status", "--check") == "2 slots served"


def test_one_that_is_done_counts_as_served_everywhere(start: Start) -> None:
    daemon = Commanded(start, "done", plan="[Web(0), Once()]", more=FINISHES)
    daemon.launch()
    daemon.ready("web/0")
    until(lambda: daemon.client.status()["slots"][1]["state"] == "finished", "its end")
    assert daemon.says("status").startswith("done: 2 of 2 slots served")
    assert daemon.says("status", "--check") == "2 slots served"
    until(lambda: title(daemon.running.pid) == "prefork: master done [2/2 ready]", "the master's title")
    assert daemon.stop() == 0


def completed(served: Commanded, typed: str) -> set[str]:
    """Return what a shell offers after these words; the last one is being typed."""
    words = typed.split(" ")
    env = {"_PREFORK_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    return {line.partition(",")[2] for line in served.says(env=env).split("\n")}


def test_a_shell_completes_commands_slots_and_pools(pair: Commanded) -> None:
    assert completed(pair, "prefork rep") == {"replan"}
    assert completed(pair, "prefork restart w") == {"web/0", "web/1"}
    assert completed(pair, "prefork explain web/1") == {"web/1"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_line_that_is_to_be_typed_has_bash_complete(pair: Commanded) -> None:
    document = (Path(__file__).parents[2] / "docs" / "control.md").read_text()
    line = re.findall(r"^    (eval .*?) +# bash", document, re.M)[0]
    script = f"""
        {line}
        COMP_WORDS=(prefork restart w) COMP_CWORD=2
        $(complete -p prefork | sed 's/.* -F \\([^ ]*\\) .*/\\1/') prefork w restart
        printf 'offered %s\\n' "${{COMPREPLY[@]}}"
    """
    path = {"PATH": f"{PREFORK.parent}:{os.environ['PATH']}"}
    shell = pair.start.command("bash", "-c", script, env={**pair.environment, **path})
    assert shell.wait() == 0
    assert shell.out == ["offered web/0", "offered web/1"], shell.err
