"""Which daemon a command is for, and who may give it one."""

from __future__ import annotations

import grp
import os
import signal
import sys
import time

import pytest

import prefork
from prefork._errors import PreforkError
from support import Start
from system.commanded import PREFORK, Commanded
from system.daemons import root
from system.places import Place
from system.runs import WSGI

STRANGER, UID = 65534, os.geteuid()


@pytest.fixture
def place(start: Start) -> Place:
    return Place(start)


def test_commands_without_a_name_are_for_their_directory(place: Place) -> None:
    homes = f"/run/prefork, {place.start.directory}/session/prefork, /tmp/prefork-{UID}, /run/user/{UID}/prefork"
    told = f"prefork: no daemon is running; start one with `prefork run`; searched: {homes}"
    assert place.says("status", status=3) == told
    assert place.listed() == {}
    one = place.script("one")
    top = place.start.directory
    elsewhere = f"prefork: no daemon runs in this directory; this is one in {top}/one"
    assert place.says("status").splitlines()[-1] == elsewhere
    assert place.says("status").startswith("one: 1 of 1 slot served")
    assert place.says("status", directory="one").startswith("one: 1 of 1 slot served")
    assert elsewhere not in place.says("status", directory="one")
    refusal = f"prefork: no daemon runs in this directory ({top}); running: one in {top}/one"
    for command in "stop", "reload", "plan", "scale web 3", "restart web/0", "stacks":
        told = place.says(*command.split(), status=2)
        assert told == f"{refusal}; name the daemon that you mean, as in `-n one`", command
    two = place.script("two")
    assert place.says("status", status=2).startswith(f"{refusal}, two in {top}/two")
    assert place.says("status", "-n", "two").startswith("two: 1 of 1 slot served")
    assert place.says("status", "two").startswith("two: 1 of 1 slot served")
    assert place.says("crashes", "two") == "no crash reports"
    assert (
        place.says("crashes", "7", directory="two", status=1)
        == "prefork: no crash report 7; `prefork crashes` lists them"
    )
    told = place.says("stop", "two", "-n", "one", status=2)
    assert told == "prefork: two daemons are named, two and by -n one: name one"
    told = place.says("status", "--name", "tow", status=3)
    assert told == f"prefork: no daemon tow is running; running: one in {top}/one, two in {top}/two; searched: {homes}"
    assert place.says("stop", directory="one").startswith("stopped")
    assert one.wait() == 0
    assert place.says("stop", PREFORK_NAME="two").startswith("stopped")
    assert two.wait() == 0
    home = "/run/prefork" if UID == 0 else f"{place.start.directory}/session/prefork"
    there = place.command("ls", home)
    assert (there.wait(), there.out) == (0, [])


def test_daemons_behind_a_switched_link_and_of_one_name(place: Place) -> None:
    """Each command is for the daemon that was started behind the link, whatever the link leads to now."""
    top = place.start.directory
    for release in "1", "2":
        (top / "releases" / release).mkdir(parents=True)
        (top / "releases" / release / "main.py").write_text(WSGI)
    (top / "current").symlink_to("releases/1")
    first = place.run("current", "main:app")
    assert "current: ready" in place.ready(first)
    (top / "new").symlink_to("releases/2")
    (top / "new").rename(top / "current")
    assert place.says("reload", directory="current").startswith("reload: done (generation 2)")
    refused = place.run("current", "main:app")
    assert refused.wait() == 2
    assert refused.err[-1].startswith(f"prefork: the daemon current is already running: pid {first.pid} ")
    (top / "b").mkdir()
    (top / "b" / "current.py").write_text(WSGI)
    other = place.run("b", "current:app")
    assert other.wait() == 2
    assert other.err[-1].endswith(
        f", started in {top}/current; give this one another name, as in `prefork run --name NAME`"
    )
    (top / "b" / "prefork.toml").write_text('target = "current:app"')
    for command in "reload", "stop", "status":
        told = place.says(command, status=2, directory="b")
        assert told.startswith(
            f"prefork: no daemon current is running in this directory ({top}/b); running: current in"
        )
    assert place.says("stop", directory="current").startswith("stopped")
    assert first.wait() == 0


def test_list_has_what_each_daemon_says_and_who_does_not_answer(place: Place) -> None:
    running = place.application("application", file='target = "shop:app"\nname = "till"')
    silent = place.script("silent")
    silent.send(signal.SIGSTOP)
    heading, *lines = place.says("list").splitlines()
    assert heading.split()[:3] == ["NAME", "STATE", "PID"]
    silenced, served = (line.split() for line in lines if str(place.start.directory) in line)
    assert silenced[:3] == ["silent", "unresponsive", str(silent.pid)]
    assert silenced[-1] == str(place.start.directory / "silent")
    assert served[:3] == ["till", "running", str(running.pid)]
    assert "1/1" in served
    assert served[-2:] == ["shop:app", str(place.start.directory / "application")]
    record = place.listed()["till"]
    assert record.pop("started") < time.time()
    assert record == {
        "name": "till", "state": "running", "pid": running.pid, "uid": os.geteuid(), "user": record["user"],
        "directory": str(place.start.directory / "application"), "target": "shop:app", "model": "daemon",
        "ready": 1, "wanted": 1, "runtime_directory": record["runtime_directory"],
    }  # fmt: skip
    assert place.says("status", "-n", record["runtime_directory"]).startswith("till: ")
    silent.send(signal.SIGKILL)
    silent.wait()
    assert place.listed().keys() == {"till"}
    assert running.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "file", "environment", "name"),
    [
        ([], 'target = "shop:app"', {}, "shop"),
        (["--name", "safe"], 'target = "shop:app"\nname = "till"', {"PREFORK_NAME": "desk"}, "safe"),
    ],
    ids=["file's target", "command line"],
)
def test_prefork_run_is_found_by_the_name_that_it_has_been_given(
    place: Place, arguments: list[str], file: str, environment: dict[str, str], name: str
) -> None:
    running = place.application("application", *arguments, file=file, **environment)
    assert place.says("status", "-n", name).startswith(f"{name}: 1 of 1 slot served")
    assert running.stop() == 0


def test_directory_names_its_daemon_in_spite_of_mistakes(place: Place) -> None:
    running = place.application("application", file='target = "shop:app"\nname = "till"')
    other = place.script("other")
    assert place.says("status", directory="application").startswith("till: ")
    for mistake in "workerss = 4", "workers = 0", "threads = 'many'":
        (place.start.directory / "application" / "prefork.toml").write_text(f'name = "till"\n{mistake}\n')
        assert place.says("status", directory="application").startswith("till: ")
    (place.start.directory / "application" / "prefork.toml").write_text("[")
    said = place.says("status", directory="application", status=2)
    assert said.startswith("prefork: prefork.toml: ")
    assert said.endswith("; or choose the daemon with -n NAME")
    assert other.stop() == 0
    assert running.stop() == 0


def test_directory_of_a_stopped_daemon_means_no_other(place: Place) -> None:
    running = place.script("other")
    (place.start.directory / "prefork.toml").write_text('name = "till"')
    other = f"other in {place.start.directory}/other"
    assert place.says("status", status=3).startswith(f"prefork: no daemon till is running; running: {other}; searched:")
    (place.start.directory / "prefork.toml").write_text("naem = 1")
    assert "prefork.toml: there is no option naem" in place.says("status", status=2)
    assert running.stop() == 0


def test_there_is_one_of_a_name_however_it_is_started(place: Place) -> None:
    first = place.script("till")
    second = place.command(sys.executable, "program.py", directory="till")
    assert second.wait() == 2
    assert f"prefork: the daemon till is already running: pid {first.pid} (runtime directory" in "\n".join(second.err)
    (place.start.directory / "shop.py").write_text(WSGI)
    third = place.command(PREFORK, "run", "shop:app", "--name", "till", "-b", "127.0.0.1:0")
    assert third.wait() == 2
    assert f"prefork: the daemon till is already running: pid {first.pid} (runtime directory" in "\n".join(third.err)
    assert place.says("status").startswith("till: 1 of 1 slot served")
    assert first.stop() == 0


@pytest.mark.skipif(not root(), reason="only root can give a group something that it is not in")
def test_prefork_run_opens_the_control_socket_to_a_group(start: Start, place: Place) -> None:
    told = 'target = "shop:app"\ncontrol_group = "games"'
    run = place.application("application", file=told, RUNTIME_DIRECTORY=str(start.directory / "runtime"))
    socket = (start.directory / "runtime" / "control.sock").stat()
    assert (socket.st_mode & 0o777, socket.st_gid) == (0o660, grp.getgrnam("games").gr_gid)
    assert run.stop() == 0
    refused = place.command(PREFORK, "run", "--control-group", "nosuch", directory="application")
    assert refused.wait() == 2
    assert refused.err[-1] == "prefork: control_group: there is no group 'nosuch'"


def test_a_daemon_that_was_killed_does_not_run(place: Place) -> None:
    running = place.script("till")
    running.send(signal.SIGKILL)
    running.wait()
    assert place.says("status", "-n", "till", status=3).startswith("prefork: no daemon till is running; searched: ")
    assert place.says("stop", status=3).startswith("prefork: no daemon is running; start one with `prefork run`;")


@pytest.mark.skipif(not root(), reason="only root can become another user")
def test_a_client_of_another_user_is_told_who_may(open_start: Start) -> None:
    served = Commanded(open_start, "closed")
    served.launch()
    before = served.at_rest("web/0", "web/1")
    directory = served.environment["RUNTIME_DIRECTORY"]
    attempts = "status", "stop", "reload", "events"
    for attempt in attempts:
        assert as_stranger(directory, attempt) == f"no permission to connect to the daemon in {directory}"
    os.chmod(directory, 0o755)
    os.chmod(f"{directory}/control.sock", 0o666)
    for attempt in attempts:
        told = as_stranger(directory, attempt)
        assert told == f"no permission to control the daemon in {directory}: only user 0 and root may"
    assert served.pids() == before
    assert served.stop() == 0


def as_stranger(directory: str, attempt: str) -> str:
    """Return what another user's client is told. A fork, since that user may not read this interpreter's files."""
    client, (reading, writing) = prefork.connect(directory), os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            answer = getattr(client, attempt)()
            text = f"answered: {list(answer)}"
        except PreforkError as error:
            text = str(error)
        except BaseException as error:
            text = repr(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as told:
        return told.read()
