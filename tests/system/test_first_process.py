"""A daemon as the first process of a pid namespace, as it is in a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support import PATIENCE, Running, Start, children, command_line, state, until
from system.daemons import Served

PREFORK = Path(sys.executable).with_name("prefork")
NAMESPACES = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--pid", "--fork"]
NAMESPACES += ["--kill-child", "--mount-proc"]

LEAVE = "exec >/dev/null 2>&1; sleep 0.3 & sleep 300 &"

ORPHANS = f"""
import subprocess
subprocess.run(["sh", "-c", {LEAVE!r}])
"""


def contained(start: Start, *command: str | Path, **options: dict[str, str]) -> Running:
    """Run a command as process 1; its outside is what is returned, and exits as it does."""
    if start.command(*NAMESPACES, "true").wait() != 0:
        pytest.skip("no pid namespace can be had here")
    return start.command(*NAMESPACES, *command, **options)


def launch(start: Start, name: str, more: str = "") -> tuple[Served, int]:
    """Start a daemon as process 1; return it, and the pid that process 1 has out here."""
    served = Served(start, name, more=more)
    served.running = contained(start, sys.executable, "program.py", env=served.environment)
    served.running.expect_each([r"ready web/0 g 1", r"ready web/1 g 1"])
    (first,) = children(served.running.pid)
    return served, first


def inside(first: int, *command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the namespaces of process 1, as `docker exec` does."""
    enter = ["nsenter", "-t", str(first), *([] if os.geteuid() == 0 else ["-U"]), "-p", "-m", *command]
    return subprocess.run(enter, env={**os.environ, **environ}, capture_output=True, text=True, timeout=PATIENCE)


def test_term_stops_it_and_nothing_is_left(start: Start) -> None:
    served, first = launch(start, "contained")
    assert Path(f"/proc/{first}/status").read_text().split("NSpid:")[1].split("\n")[0].split()[-1] == "1"
    assert served.ask()[0] in ("web/0", "web/1")
    os.kill(first, signal.SIGTERM)
    assert served.running.wait() == 0


def test_orphans_of_any_process_are_reaped_and_ended(start: Start) -> None:
    served, first = launch(start, "orphans", ORPHANS)
    # Those of the application, and those of a process that came in from outside.
    assert inside(first, "sh", "-c", LEAVE).returncode == 0

    def sleeping(seconds: str) -> list[int]:
        return [pid for pid in children(first) if command_line(pid) == ["sleep", seconds]]

    until(lambda: not sleeping("0.3") and len(sleeping("300")) >= 2, "the short ones have ended")
    until(lambda: not zombies(first), "they were reaped")
    os.kill(first, signal.SIGTERM)
    assert served.running.wait() == 0
    assert any("leftover process: killed" in line and "sleep 300" in line for line in served.running.err)


def test_its_exit_status_is_the_container_s(start: Start) -> None:
    served = Served(start, "status")
    served.write("import prefork\nprefork.Daemon('status').run()\n")
    failed = contained(start, sys.executable, "program.py", env=served.environment)
    assert failed.wait() == 1
    misused = contained(start, PREFORK, "run", "--no-such-option", env=served.environment)
    assert misused.wait() == 2


def test_the_probe_tells_how_it_is(start: Start) -> None:
    served, first = launch(start, "probed")
    ok = inside(first, PREFORK, "status", "--check", **served.environment)
    assert (ok.returncode, ok.stdout.strip()) == (0, "2 slots served"), ok.stderr
    nobody = inside(first, PREFORK, "status", "--check", RUNTIME_DIRECTORY=str(start.directory))
    assert nobody.returncode == 3
    os.kill(first, signal.SIGTERM)
    assert served.running.wait() == 0


def zombies(first: int) -> list[int]:
    text = Path(f"/proc/{first}/task/{first}/children").read_text()
    return [pid for pid in map(int, text.split()) if state(pid) == "Z"]
