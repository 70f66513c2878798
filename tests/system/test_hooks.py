"""Every hook: called when, and with what. The programs here print each call."""

from __future__ import annotations

import os
import re
import signal

import pytest

from support import Running, Start, gone, state, until

RECORDING = """
import os, signal, sys
from dataclasses import dataclass, field
from pathlib import Path
import prefork

WORKERS = 2

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int
    config: str = field(compare=False)

def work(worker):
    print("ready", worker.id, worker.config, os.getpid())
    signal.pause()

def fork(count, config):
    return [prefork.fork_worker_process(Waiting(i, config)) for i in range(count)]

def terminate(config, pids):
    for pid in pids:
        os.kill(pid, signal.SIGTERM)

def interrupt(config, pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

def update_config():
    text = Path("config").read_text() if Path("config").exists() else ""
    return text or None

HOOKS = {
    "update_config": update_config,
    "update_server": lambda config: fork(WORKERS, config),
    "on_child_finished": lambda config: fork(1, config + "-again"),
    "on_terminate": terminate,
    "on_interrupt": interrupt,
}

def recorded(name):
    def call(*arguments):
        result = HOOKS.get(name, lambda *_: None)(*arguments)
        words = [" ".join(map(str, a)) if isinstance(a, (list, tuple)) else str(a) for a in arguments]
        print(f"hook {name}({', '.join(words)}) -> {result}", flush=True)
        return result
    return call

def main():
    names = prefork.PreforkSettings.__dataclass_fields__
    prefork.default_main(lambda: prefork.PreforkSettings(**{name: recorded(name) for name in names}), work)
    print("returned", flush=True)

if __name__ == "__main__":
    main()
"""


def configure(start: Start, text: str) -> None:
    (start.directory / "config").write_text(text)


def calls(program: Running) -> list[str]:
    """Return the hooks called so far, pids as N."""
    return [re.sub(r"\b\d{2,}\b", "N", line) for line in program.out if line.startswith("hook")]


def ready(program: Running, count: int) -> list[int]:
    return [int(program.expect(r"^ready \d \S+ (\d+)")[1]) for _ in range(count)]


AT_START = [
    "hook update_config() -> a",
    "hook on_start(a) -> None",
    "hook update_config() -> a",
    "hook update_server(a) -> [N, N]",
]


def test_start_and_terminate(start: Start) -> None:
    configure(start, "a")
    program = start.program(RECORDING)
    pids = ready(program, 2)
    assert program.stop() == 0
    told = next(line for line in program.out if line.startswith("hook on_terminate"))
    assert told == f"hook on_terminate(a, {min(pids)} {max(pids)}) -> None"
    assert program.out[-1] == "returned"
    seen = calls(program)
    assert seen[:4] == AT_START
    assert seen[4] == "hook on_terminate(a, N N) -> None"
    assert seen[5:] == ["hook cleanup_child(a, N) -> None"] * 2 + ["hook on_finish(a) -> None"]
    cleaned = [int(found[0]) for line in program.out if (found := re.findall(r"cleanup_child\(a, (\d+)\)", line))]
    assert sorted(cleaned) == sorted(pids)


def test_interrupt(start: Start) -> None:
    configure(start, "a")
    program = start.program(RECORDING)
    ready(program, 2)
    assert program.stop(signal.SIGINT) == 0
    assert calls(program)[4] == "hook on_interrupt(a, N N) -> None"
    assert not any("on_child_finished" in line for line in program.out)
    assert calls(program)[-1] == "hook on_finish(a) -> None"


def test_quit_does_not_end(start: Start) -> None:
    configure(start, "a")
    program = start.program(RECORDING)
    pids = ready(program, 2)
    program.send(signal.SIGQUIT)
    program.expect(r"^hook on_quit\(a\) -> None$")
    assert sorted(program.children()) == sorted(pids)
    assert program.stop() == 0


def test_hangup_reads_the_configuration_again(start: Start) -> None:
    configure(start, "a")
    program = start.program(RECORDING)
    ready(program, 2)
    configure(start, "b")
    program.send(signal.SIGHUP)
    program.expect_each([r"^ready 0 b \d+$", r"^ready 1 b \d+$"])
    assert calls(program)[4:] == ["hook update_config() -> b", "hook update_server(b) -> [N, N]"]
    assert len(program.children()) == 4
    assert program.stop() == 0
    assert "hook on_terminate(b, N N N N) -> None" in calls(program)


def test_no_new_configuration_keeps_the_old_and_starts_nothing(start: Start) -> None:
    configure(start, "a")
    program = start.program(RECORDING)
    ready(program, 2)
    configure(start, "")
    program.send(signal.SIGHUP)
    program.expect(r"^hook update_config\(\) -> None$")
    program.send(signal.SIGQUIT)
    program.expect(r"^hook on_quit\(a\)")
    assert calls(program)[4:] == ["hook update_config() -> None", "hook on_quit(a) -> None"]
    assert program.stop() == 0


def test_while_there_is_no_configuration(start: Start) -> None:
    program = start.program(RECORDING)
    program.expect(r"^hook on_start\(None\)")
    program.send(signal.SIGQUIT)
    program.send(signal.SIGHUP)
    for _ in range(2):
        program.expect(r"^hook update_config\(\) -> None$")
    assert program.stop() == 0
    nothing = "hook update_config() -> None"
    assert calls(program) == [nothing, "hook on_start(None) -> None", nothing, nothing, "hook on_finish(None) -> None"]
    assert program.out[-1] == "returned"


def test_a_configuration_that_comes_late(start: Start) -> None:
    program = start.program(RECORDING)
    for _ in range(2):
        program.expect(r"^hook update_config\(\) -> None$")
    configure(start, "a")
    program.send(signal.SIGHUP)
    ready(program, 2)
    assert calls(program)[-2:] == ["hook update_config() -> a", "hook update_server(a) -> [N, N]"]
    assert program.stop() == 0


def stop(program: Running) -> None:
    """Let it stand still; it may run for a moment after the signal was sent."""
    program.send(signal.SIGSTOP)
    until(lambda: state(program.pid) == "T", "it has stopped")


def test_children_that_end_together_are_told_together(start: Start) -> None:
    configure(start, "a")
    program = start.program(RECORDING)
    pids = ready(program, 2)
    stop(program)  # So that it sees both ends at once.
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
    program.send(signal.SIGCONT)
    program.expect("^ready 0 a-again")
    cleanup = "hook cleanup_child(a, N) -> None"
    assert calls(program)[4:] == [cleanup, cleanup, "hook on_child_finished(a) -> [N]"]
    assert program.stop() == 0
    assert calls(program)[7] == "hook on_terminate(a, N) -> None", "only the adopted one is left"


def test_a_hook_is_never_given_a_pid_that_may_be_anothers(start: Start) -> None:
    configure(start, "a")
    program = start.program(RECORDING)
    pids = ready(program, 2)
    stop(program)
    os.kill(pids[0], signal.SIGKILL)
    assert gone(pids[0])
    program.send(signal.SIGTERM)  # Its hook calls kill(2) for each pid and does not expect that to fail.
    program.send(signal.SIGCONT)
    assert program.wait() == 0
    assert len(program.err) == 1
    assert program.err[0].endswith(f"killed by SIGKILL (pid {pids[0]})")


def test_each_further_signal_asks_again(start: Start) -> None:
    configure(start, "a")
    source = RECORDING.replace("os.kill(pid, signal.SIGTERM)", "pass")
    program = start.program(source)
    pids = ready(program, 2)
    for _ in range(2):
        program.send(signal.SIGTERM)
        program.expect(r"^hook on_terminate\(a, \d+ \d+\) -> None$")
    os.kill(pids[0], signal.SIGKILL)
    program.expect(rf"^hook cleanup_child\(a, {pids[0]}\)")
    program.send(signal.SIGINT)
    program.expect(rf"^hook on_interrupt\(a, {pids[1]}\) -> None$")
    assert program.wait() == 0


def test_broken_pipes_do_not_end_it(start: Start) -> None:
    configure(start, "a")
    program = start.program(RECORDING)
    ready(program, 2)
    program.send(signal.SIGPIPE)
    program.send(signal.SIGQUIT)
    program.expect(r"^hook on_quit\(a\)")
    assert program.stop() == 0


RELAUNCHING = """
import os, signal, sys
from dataclasses import dataclass, field
from pathlib import Path
import prefork

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int
    text: str = field(compare=False)

def work(worker):
    print("ready", worker.id, worker.text, os.getpid(), *sys.argv[1:])
    signal.pause()

def update(resource):
    # Lines of `id text`; of two with one id the last is kept.
    wanted = [line.split() for line in Path("config").read_text().splitlines()]
    prefork.update_worker_set(resource, [Waiting(int(number), text) for number, text in wanted])
    return "configuration"

def fork(worker):
    return prefork.fork_worker_process(worker, [f"id={worker.id}"])

prefork.run_settings(lambda: prefork.relaunch_settings(prefork.PreforkResource(), update, fork), work)
"""


def test_relaunch_settings_follow_the_wanted_set(start: Start) -> None:
    configure(start, "0 lost\n1 b\n0 a")
    program = start.program(RELAUNCHING)
    first = program.expect_each([r"^ready 0 a \d+ id=0$", r"^ready 1 b \d+ id=1$"])
    old = [int(match.string.split()[3]) for match in first.values()]
    configure(start, "2 d\n1 c")
    program.send(signal.SIGHUP)
    second = program.expect_each([r"^ready 1 c (\d+) id=1$", r"^ready 2 d (\d+) id=2$"])
    assert all(gone(pid) for pid in old)
    assert sorted(program.children()) == sorted(int(match[1]) for match in second.values())
    os.kill(program.children()[0], signal.SIGTERM)
    program.expect(r"^ready (1 c|2 d) \d+")
    assert not any("lost" in line for line in program.out)
    assert program.stop() == 0


def test_failed_start_of_a_worker_keeps_the_old_ones(start: Start) -> None:
    configure(start, "0 a\n1 b")
    source = RELAUNCHING.replace("def fork(worker):", "def fork(worker):\n    assert worker.text != 'bad'")
    program = start.program(source)
    old = ready(program, 2)
    configure(start, "0 a\n1 b\n2 bad")
    program.send(signal.SIGHUP)
    program.expect("^prefork: hook update_server: raised an exception:", "err")
    program.expect("^    AssertionError$", "err")
    until(lambda: sorted(program.children()) == sorted(old), "only the old workers are left")
    configure(start, "0 c")
    program.send(signal.SIGHUP)
    program.expect(r"^ready 0 c \d+")
    assert all(gone(pid) for pid in old)
    assert len(program.children()) == 1
    assert program.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU])
def test_other_signals_do_nothing(start: Start, number: int) -> None:
    configure(start, "a")
    program = start.program(RECORDING)
    pids = ready(program, 2)
    program.send(number)
    program.send(signal.SIGQUIT)
    program.expect(r"^hook on_quit\(a\)")
    assert sorted(program.children()) == sorted(pids)
    assert calls(program)[4:] == ["hook on_quit(a) -> None"]
    assert program.stop() == 0
