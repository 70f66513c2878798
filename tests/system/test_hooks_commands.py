"""The commands of `prefork`, for a program with hooks."""

from __future__ import annotations

import os
import signal
import sys

import pytest

import prefork
from prefork._hooks.control.steered import NO_SCOREBOARD, NO_STACKS, REFUSED
from support import Running, Start, gone, until
from system.commanded import Commanded
from system.places import Place
from system.test_hooks import RELAUNCHING

FORKING = """
import os, signal, sys, time
import prefork

def update_server(config):
    if os.fork() == 0:
        os.write(1, b"forked\\n")
        os.read(0, 1)  # Until the test closes it.
        os._exit(0)
    return []

settings = prefork.PreforkSettings(update_config=lambda: 1, update_server=update_server)
prefork.default_main(settings, print)
"""


class Greeters(Commanded):
    """A program with hooks, which reads its workers from the file `config`."""

    def __init__(self, start: Start, config: str) -> None:
        super().__init__(start, "program", RELAUNCHING)
        self.configure(config)
        self.launch()
        self.expect(config)

    def configure(self, text: str) -> None:
        (self.start.directory / "config").write_text(text)

    def expect(self, config: str) -> None:
        """Wait until the workers of a configuration are ready."""
        self.running.expect_each(rf"^ready {line} (\d+)" for line in config.splitlines())


@pytest.fixture(scope="module")
def greeters(module_start: Start) -> Greeters:
    return Greeters(module_start, "0 a\n1 a")


def test_status_has_the_workers_with_their_processes(greeters: Greeters) -> None:
    until(lambda: greeters.client.hello()["ready"] == 2, "both are ready")
    status = greeters.client.status()
    assert (status["name"], status["pid"], status["model"]) == ("program", greeters.running.pid, "hooks")
    assert (status["directory"], status["target"]) == (str(greeters.start.directory), "program.py")
    assert {slot["pid"] for slot in status["slots"]} == set(greeters.running.children())
    lines = greeters.says("status").splitlines()
    assert lines[0].startswith("program: 2 of 2 slots served, generation ")
    assert {line.split()[0] for line in lines[3:]} == {"waiting/0", "waiting/1"}
    assert greeters.says("status", "--check") == "2 slots served"


def test_reload_returns_when_new_workers_have_their_contexts(greeters: Greeters) -> None:
    before = greeters.running.children()
    greeters.configure("0 b\n1 b")
    generation = greeters.client.status()["generation"] + 1
    outcome = f"reload: done (2 workers started, generation {generation})"
    assert greeters.says("reload") == outcome
    assert all(gone(pid) for pid in before)
    until(lambda: sorted(greeters.pids().values()) == sorted(greeters.running.children()), "the former ones have left")
    events = list(greeters.client.events())
    assert [event["command"] for event in events if event["event"] == "command"] == ["reload"]
    assert [event.get("text") for event in events if event["event"] == "change"][-1] == outcome
    greeters.running.expect("^prefork: reload requested by uid", "err")


def test_reload_with_a_failing_hook_says_why(greeters: Greeters) -> None:
    before = greeters.pids()
    greeters.configure("nonsense c")
    assert "ValueError: invalid literal for int()" in greeters.refuses("reload")
    assert greeters.pids() == before
    greeters.configure("0 b\n1 b")


def test_explain_has_the_ends_of_a_worker(greeters: Greeters) -> None:
    pid = greeters.pids()["waiting/1"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: greeters.pids().get("waiting/1") not in (pid, None), "it is started again")
    found = greeters.client.explain("waiting/1")
    assert found["slot"]
    assert (found["slot"]["last_exit"], found["slot"]["restarts"]) == ("killed by SIGKILL", 1)
    assert [event["event"] for event in found["events"] if event["pid"] == pid][-1] == "ended"
    assert any("killed by SIGKILL after" in line for line in greeters.says("explain", "waiting/1").splitlines())


def test_what_hooks_decide_is_refused_with_what_to_use(greeters: Greeters) -> None:
    reasons = {command.__name__: text for command, text in REFUSED.items()}
    for command, text in {
        "scale waiting 3": reasons["Scale"], "replan": reasons["Replan"], "plan": reasons["Preview"],
        "restart waiting/0": reasons["Restart"], "stacks": NO_STACKS,
    }.items():  # fmt: skip
        assert greeters.refuses(*command.split()) == f"prefork: {text}"
    with pytest.raises(prefork.CommandFailedError, match=NO_SCOREBOARD.partition(":")[0]):
        prefork.open_scoreboard(greeters.client)
    assert "writes no crash reports" in greeters.refuses("crashes")


def test_client_that_follows_sees_the_end(start: Start) -> None:
    greeters = Greeters(start, "0 a")
    following = greeters.command("events", "--follow")
    following.expect("ready after")
    assert greeters.says("stop") == "stopped"
    assert greeters.running.wait() == 0
    assert following.wait() == 0
    assert any("stop requested by" in line for line in following.out)
    assert greeters.refuses("status", status=3).startswith("prefork: no daemon is running in ")
    assert not (start.directory / "runtime" / "control.sock").exists()


def test_daemon_of_a_killed_master_is_found_again(start: Start) -> None:
    first = Greeters(start, "0 a")
    first.running.send(signal.SIGKILL)
    first.running.wait()
    assert first.refuses("stop", status=3).startswith("prefork: no daemon is running in ")
    second = Greeters(start, "0 b")
    assert second.client.hello()["pid"] == second.running.pid
    assert second.stop() == 0


def test_child_of_a_hook_keeps_neither_name_nor_socket(start: Start) -> None:
    """It lives on as the hook's own: the next master must get the lock, and clients must not wait for it."""
    reader, writer = os.pipe()
    environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    first = start.program(FORKING, env=environment, stdin=reader)
    os.close(reader)
    first.expect("forked")
    first.send(signal.SIGKILL)
    first.wait()
    with pytest.raises(prefork.NotRunningError):
        prefork.connect(environment["RUNTIME_DIRECTORY"])
    second = start.program(FORKING, env=environment)
    second.expect("forked")
    assert prefork.connect(environment["RUNTIME_DIRECTORY"]).hello()["pid"] == second.pid
    assert second.stop() == 0
    os.close(writer)


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/inside"])
def test_program_runs_where_there_can_be_no_socket(start: Start, place: str) -> None:
    (start.directory / "config").write_text("0 a")
    running = start.program(RELAUNCHING, env={"RUNTIME_DIRECTORY": place})
    running.expect("^ready 0 a")
    assert running.stop() == 0
    (line,) = running.err
    assert line.startswith(f"prefork: control: cannot create the runtime directory {place}: ")
    assert line.endswith("; running without: `prefork status` will not find this daemon")


def test_program_runs_twice_in_one_directory_and_is_told_apart(start: Start) -> None:
    place = Place(start)
    (start.directory / "greeters").mkdir()
    (start.directory / "greeters" / "web.py").write_text(RELAUNCHING)
    (start.directory / "greeters" / "config").write_text("0 a")

    def launch(**environment: str) -> Running:
        running = place.command(sys.executable, "web.py", directory="greeters", **environment)
        running.expect("^ready 0 a")
        return running

    one, two, named = launch(), launch(), launch(PREFORK_NAME="shop")
    listed = place.listed()
    assert {name: each["pid"] for name, each in listed.items()} == {
        "web": one.pid, "web-2": two.pid, "shop": named.pid,
    }  # fmt: skip
    assert {each["directory"] for each in listed.values()} == {str(start.directory / "greeters")}
    assert {(each["target"], each["model"], each["ready"]) for each in listed.values()} == {("web.py", "hooks", 1)}
    assert place.says("stop", status=2, directory="greeters").endswith("choose one with -n NAME")
    taken = place.command(sys.executable, "web.py", directory="greeters", PREFORK_NAME="shop")
    assert taken.wait() == 2
    assert taken.err[-1].startswith(f"prefork: the daemon shop is already running: pid {named.pid} ")
    assert place.says("stop", "-n", "web").startswith("stopped")
    assert one.wait() == 0
    again = launch()
    assert place.says("status", "-n", "web").startswith("web: 1 of 1 slot served")
    for running in again, two, named:
        assert running.stop() == 0
