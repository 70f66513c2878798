"""A daemon as its users run it: started both ways, reloaded, scaled, replanned and stopped, with real processes."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from pathlib import Path

import pytest

import prefork
from support import Start, gone, until
from system.commanded import PREFORK, Commanded
from system.daemons import HEAD, RUN, SERVE, Served, alive, free_port, served, title


def test_workers_answer_have_titles_come_back_and_end(start: Start) -> None:
    served = Served(start, "lives").launch()
    pids = served.ready("web/0", "web/1")
    key, generation, pid, _ = served.ask()
    assert (pids[key], generation) == (pid, 1)
    until(lambda: len(served.running.children()) == 4, "mold, spare and two workers")
    until(
        lambda: (
            sorted(map(title, served.running.children()))
            == [
                "prefork: mold g1 lives",
                "prefork: spare g1 lives",
                "prefork: web/0 g1 ready (lives)",
                "prefork: web/1 g1 ready (lives)",
            ]
        ),
        "their titles",
    )
    until(lambda: title(served.running.pid) == "prefork: master lives [2/2 ready]", "the master's title")
    os.kill(pids["web/1"], signal.SIGKILL)
    assert served.ready("web/1")["web/1"] != pids["web/1"]
    served.running.expect(r"web/1: killed by SIGKILL after .* \(pid \d+, generation 1\); restarting", "err")
    assert served.stop() == 0


@pytest.mark.parametrize("way", ["script", "module", "code", "command"])
def test_all_ways_in_are_the_same(start: Start, way: str) -> None:
    daemon = Served(start, f"way-{way}", more='say("argv", sys.argv, __name__)\n')
    prefork = Path(sys.executable).with_name("prefork")
    commands: dict[str, list[str | Path]] = {
        "script": [sys.executable, "-X", "utf8", "program.py", "a"],
        "module": [sys.executable, "-m", "program", "a"],
        "code": [sys.executable, "-c", daemon.file.read_text(), "a"],
        "command": [prefork, "run", "program:daemon", "--name", daemon.name],
    }
    if way == "command" and not prefork.exists():
        pytest.skip("the command prefork is not installed beside the interpreter")
    daemon.launch(*commands[way])
    module = "program" if way == "command" else "__main__"
    daemon.running.expect(rf"argv .* {module}$")
    daemon.ready("web/0", "web/1")
    assert daemon.ask()[1] == 1
    daemon.signal(signal.SIGHUP)
    daemon.ready("web/0", "web/1", generation=2)
    assert daemon.stop() == 0


def test_a_reload_brings_new_code_before_old_code_goes(start: Start) -> None:
    served = Served(start, "reloads", plan='[Web(0, "old"), Web(1, "old")]').launch()
    old = served.ready("web/0", "web/1")
    assert served.ask()[3] == "old"
    served.write(plan='[Web(0, "new"), Web(1, "new")]')
    served.signal(signal.SIGHUP)
    new = served.ready("web/0", "web/1", generation=2)
    served.running.expect(r"reload: done \(generation 2\)", "err")
    assert served.ask()[3] == "new"
    assert all(gone(pid) for pid in old.values())
    assert all(alive(pid) for pid in new.values())
    served.stop()


BROKEN = {
    "syntax": ("more", "def broken(:\n", "SyntaxError"),
    "import": ("more", "import a_module_that_is_not_there\n", "ModuleNotFoundError"),
    "plan": ("plan", "1 / 0", "ZeroDivisionError: division by zero"),
    "keys": ("plan", "[Web(0), Web(0)]", "the plan has two keys web/0"),
    "value": ("plan", "[Web(0, b'')]", r"Web\.text: "),
    "exit": ("more", "os._exit(7)\n", "exited 7"),
    "crash": ("more", "os.kill(os.getpid(), signal.SIGSEGV)\n", "SIGSEGV"),
    "no run": ("more", "sys.exit()\n", "SystemExit"),
    "worker": ("plan", '[Web(0, "x"), Web(1, "x")]', "RuntimeError: of no use"),
}


def test_reload_goes_on_at_drained_and_ends_at_the_end(start: Start) -> None:
    exit_handler = 'import atexit, fcntl\natexit.register(lambda: fcntl.flock(open("held"), fcntl.LOCK_SH))\n'
    served = Served(start, "slow-exits", plan="[Web(i) for i in range(4)]", more=exit_handler).launch()
    held = start.directory / "held"
    held.touch()
    keys = [f"web/{number}" for number in range(4)]
    old = served.ready(*keys)
    with held.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        served.signal(signal.SIGHUP)
        served.ready(*keys, generation=2)
        assert all(alive(pid) for pid in old.values())
        assert not [line for line in served.running.err if "reload: done (generation 2)" in line]
    served.running.expect(r"reload: done \(generation 2\)", "err")
    assert all(gone(pid) for pid in old.values())
    assert served.stop() == 0


@pytest.mark.parametrize("broken", ["more", "plan"])  # Not all in one: the sixth failure in ten seconds is logged late.
def test_broken_reloads_change_nothing_and_say_why_once(start: Start, broken: str) -> None:
    served = Served(start, "broken").launch()
    pids = served.ready("web/0", "web/1")
    good = served.file.read_text()
    cases = [case for case in BROKEN.values() if case[0] == broken]
    for part, text, why in cases:
        if "no use" in why:
            source = good.replace("    worker.ready(", '    raise RuntimeError("of no use")\n    worker.ready(')
            served.file.write_text(source.replace("[Web(0), Web(1)]", text))
        else:
            served.write(**{part: text})
        served.signal(signal.SIGHUP)
        served.running.expect(why, "err")
        assert served.ask()[1] == 1
        assert all(alive(pid) for pid in pids.values())
    served.write(plan='[Web(0, "mended"), Web(1, "mended")]')
    served.signal(signal.SIGHUP)
    served.running.expect(rf"reload: done \(generation {len(cases) + 2}\)", "err")
    assert served.ask()[3] == "mended"
    served.stop()
    for _, _, why in cases:
        told = [line.startswith("    ") for line in served.running.err if why.replace("\\", "") in line]
        assert told in ([False], [True], [False, True]), f"{why}: in the first line, and at the end of its traceback"


def test_an_import_that_hangs_is_given_up(start: Start) -> None:
    served = Served(start, "hangs", options="import_timeout=4").launch()
    served.ready("web/0", "web/1")
    served.write(more="import select\nselect.select([], [], [])\n")
    served.signal(signal.SIGHUP)
    served.running.expect(r"mold of generation 2: still importing after \d s", "err")
    served.running.expect(r"File .*, line \d+ in <module>$", "err")
    served.running.expect("reload: failed", "err")
    assert served.ask()[1] == 1
    until(lambda: len(served.running.children()) == 4, "the hanging mold has ended")
    served.stop()


def test_scaling_by_signal_survives_a_reload(start: Start) -> None:
    served = Served(start, "scales", plan="[prefork.Pool(Web, size=2, max=3)]").launch()
    served.ready("web/0", "web/1")
    served.signal(signal.SIGTTIN)
    served.ready("web/2")
    served.signal(signal.SIGHUP)
    pids = served.ready("web/0", "web/1", "web/2", generation=2)
    served.running.expect(r"reload: done \(generation 2\)", "err")
    served.signal(signal.SIGTTOU)
    assert gone(pids["web/2"])
    served.stop()


CONFIGURED = (
    HEAD
    + """
@dataclass(frozen=True)
class Config:
    texts: list[str] = field(default_factory=list)

daemon = prefork.Daemon("configured", listeners={"http": "tcp://127.0.0.1:PORT"},
                        config=prefork.toml_file("config.toml", Config, watch=True))

@daemon.plan
def plan(config):
    return [Web(i, text) for i, text in enumerate(config.texts)]
"""
    + SERVE
    + RUN
)


def test_saving_the_configuration_applies_the_difference_only(start: Start) -> None:
    pytest.importorskip("watchfiles")
    daemon = Served(start, "configured", CONFIGURED)
    config = start.directory / "config.toml"

    def save(text: str) -> None:
        config.with_suffix(".new").write_text(text)
        config.with_suffix(".new").rename(config)

    save('texts = ["a", "b"]')
    daemon.launch()
    before = daemon.ready("web/0", "web/1")
    watcher(daemon)
    save('texts = ["a", "changed", "c"]')
    after = daemon.ready("web/1", "web/2")
    daemon.running.expect(r"replan: done \(generation 1\)", "err")
    assert gone(before["web/1"])
    assert alive(before["web/0"])
    assert alive(after["web/1"])
    save('texts = ["a", 7]')
    daemon.running.expect(r"config.toml: Expected `str`, got `int` - at `\$.texts", "err")
    assert alive(before["web/0"])
    save('text = ["a"]')
    daemon.running.expect("there is no option text: did you mean texts", "err")
    assert daemon.stop() == 0


def test_a_watcher_that_is_killed_comes_back(start: Start) -> None:
    pytest.importorskip("watchfiles")
    daemon = Served(start, "configured", CONFIGURED)
    config = start.directory / "config.toml"
    config.write_text('texts = ["a"]')
    daemon.launch()
    daemon.ready("web/0")
    killed = watcher(daemon)
    os.kill(killed, signal.SIGKILL)
    daemon.running.expect(r"file watcher: exited: .*SIGKILL.*config.toml\); restarting in 1 s", "err")
    until(lambda: watcher(daemon) != killed, "another one")
    config.write_text('texts = ["a", "b"]')
    daemon.ready("web/1")
    assert daemon.stop() == 0


def test_preview_or_refused_plan_leaves_what_is_watched(start: Start) -> None:
    pytest.importorskip("watchfiles")
    daemon = Commanded(start, "configured", CONFIGURED)
    config = start.directory / "config.toml"
    for name in ("config.toml", "other.toml"):
        (start.directory / name).write_text('texts = ["a"]')
    daemon.launch()
    daemon.ready("web/0")
    first = watcher(daemon)
    other = CONFIGURED.replace("config.toml", "other.toml")
    daemon.write(other)
    daemon.client.plan()
    daemon.write(
        other.replace("[Web(i, text)", "[Web(0), *(Web(i, text)").replace("(config.texts)]", "(config.texts))]")
    )
    with pytest.raises(prefork.CommandFailedError, match="two keys web/0"):
        daemon.client.reload()
    assert watcher(daemon) == first
    config.write_text('texts = ["a", "b"]')
    daemon.ready("web/1")
    daemon.write(other)
    daemon.client.reload()
    until(lambda: watcher(daemon) != first, "the watcher of the other file")
    (start.directory / "other.toml").write_text('texts = ["a", "b", "c"]')
    daemon.running.expect("ready web/2 g", "out")
    assert daemon.stop() == 0


def watcher(daemon: Served) -> int:
    """The pid of the one watcher, once it watches."""
    found: list[int] = []

    def one() -> bool:
        found[:] = [pid for pid in daemon.running.children() if "watcher" in title(pid)]
        return len(found) == 1 and watches_something(found[0])

    until(one, "one watcher")
    return found[0]


def watches_something(pid: int) -> bool:
    """Whether a process has an inotify descriptor with a watch on it."""
    try:
        return any("inotify wd:" in info.read_text() for info in Path(f"/proc/{pid}/fdinfo").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False  # It has closed one while we looked, or has ended.


SINGLETON = (
    HEAD
    + """
import fcntl

@dataclass(frozen=True)
class Scheduler(prefork.WorkerContext):
    pass

daemon = prefork.Daemon("single")

@daemon.plan
def plan():
    return [Scheduler()]

@daemon.worker(Scheduler, replace="old-first")
def schedule(worker):
    lock = open("lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("TWO AT ONCE")
    worker.ready()
    say("scheduler", os.getpid(), "g", worker.generation)
    worker.wait_draining()
    time.sleep(0.05)  # Some last deed that its successor must not overlap with.
"""
    + RUN
)


def test_an_old_first_worker_never_runs_twice(start: Start) -> None:
    running = start.program(SINGLETON, env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    for generation in range(1, 3):
        pid = int(running.expect(rf"scheduler (\d+) g {generation}")[1])
        if generation > 1:
            running.expect(rf"reload: done \(generation {generation}\)", "err")
        os.kill(pid, signal.SIGKILL)
        running.expect(rf"scheduler (\d+) g {generation}")
        running.send(signal.SIGHUP)
    running.expect("scheduler (\\d+) g 3")
    assert running.stop() == 0
    assert "TWO AT ONCE" not in "\n".join(running.out)


def test_old_first_worker_never_runs_twice_after_a_crash(start: Start) -> None:
    for _ in range(3):
        running = start.program(SINGLETON, env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
        running.expect(r"scheduler (\d+) g 1")
        assert "TWO AT ONCE" not in running.out
        running.send(signal.SIGKILL)
        running.wait()


STUBBORN = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"


def test_interrupt_drains_and_a_second_one_does_not_wait(start: Start) -> None:
    served = Served(start, "stubborn", plan="[Web(0)]")
    served.write(served.file.read_text().replace("    for connection", f"    {STUBBORN}\n    for connection"))
    served.launch()
    pid = served.ready("web/0")["web/0"]
    served.ask()
    served.signal(signal.SIGINT)
    until(lambda: not any("mold" in title(child) for child in served.running.children()), "it is stopping")
    assert alive(pid)
    assert served.running.stop(signal.SIGINT) == 0


def test_worker_that_does_not_drain_is_killed_and_logged(start: Start) -> None:
    served = Served(start, "slow")
    source = served.file.read_text().replace("@daemon.worker(Web)", "@daemon.worker(Web, drain_timeout=0.5)")
    served.write(source.replace("    for connection", f"    {STUBBORN}\n    for connection"))
    served.launch()
    pids = served.ready("web/0", "web/1")
    served.ask()
    served.signal(signal.SIGHUP)
    assert all(gone(pid) for pid in pids.values())
    served.running.expect("killed by the master: still draining after 0.5 s", "err")
    served.stop()


RELEASE = served("released", plan="[Web(0, RELEASE)]")


@pytest.mark.parametrize(
    "command",
    [[sys.executable, "program.py"], [PREFORK, "run", "program:daemon"], [sys.executable, "hooks.py"]],
    ids=["script", "run", "hooks"],
)
def test_reload_follows_the_link_of_the_start(start: Start, command: list[str | Path]) -> None:
    """A deployment puts another release behind `current`; the kernel's name for it is that of the former one."""
    place = start.directory
    port = str(free_port())
    for release in "first", "second":
        (place / release).mkdir()
        source = RELEASE.replace("RELEASE", repr(release)).replace("PORT", port)
        (place / release / "program.py").write_text(source.replace('say("ready"', f'say("{release}", "ready"'))
        (place / release / "hooks.py").write_text(HOOKS_OF_A_RELEASE.replace("RELEASE", release))
    (place / "current").symlink_to("first")
    environment = {"RUNTIME_DIRECTORY": str(place / "runtime")}
    running = start.command("sh", "-c", 'cd "$0/current" && exec "$@"', place, *command, env=environment)
    running.expect("^first ready")
    (place / "next").symlink_to("second")
    (place / "next").rename(place / "current")
    running.send(signal.SIGHUP)
    running.expect("^second ready")
    assert running.stop() == 0


HOOKS_OF_A_RELEASE = """
import os, signal
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int

def work(worker):
    print("RELEASE ready")
    signal.pause()

def update(resource):
    prefork.update_worker_set(resource, [Waiting(0)])
    return 1

prefork.default_main(prefork.relaunch_settings(prefork.PreforkResource(), update, prefork.fork_worker_process), work)
"""
