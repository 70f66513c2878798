"""What a `Daemon`'s own code sets under `prefork run`: applied with the plan, or named once as without effect."""

from __future__ import annotations

import grp
import os
import signal
import time
from pathlib import Path

import pytest

from support import Start, until
from system.daemons import HEAD, RUN, SERVE, alive, root, title
from system.other_user import anywhere, as_nobody  # noqa: F401 - A fixture.
from system.runs import Run, write
from system.test_users import PROGRAM

NOTICE = "prefork: the daemon's code sets capture and log_file, which take effect only when set by the operator: "
NOTICE += "use --capture, --log-file"


def program(start: Start, options: str) -> None:
    head = HEAD + f'daemon = prefork.Daemon("chat", listeners={{"http": "tcp://127.0.0.1:0"}}, {options})\n'
    write(start, "chat.py", head + "@daemon.plan\ndef plan():\n    return [Web(0)]\n" + SERVE)


def titled(run: Run, what: str) -> list[int]:
    """Return the processes whose title begins so."""
    return [pid for pid in run.running.children() if title(pid).startswith(f"prefork: {what}")]


def socket_group(start: Start) -> int:
    [path] = Path(start.directory / "runtime").rglob("control.sock")
    return path.stat().st_gid


def test_code_options_are_applied_or_named_once(start: Start) -> None:
    group = "games" if root() else grp.getgrgid(os.getgid()).gr_name
    options = f'capture=True, spares=3, control_group="{group}", orphan_grace=0.2'
    program(start, f'{options}, log_file="chat.log"')
    run = Run(start, "chat", bind=False)
    run.ready()
    until(lambda: len(titled(run, "spare")) == 3, "three spares")
    until(lambda: socket_group(start) == grp.getgrnam(group).gr_gid, "the group of the code")
    os.kill(run.running.pid, signal.SIGHUP)
    until(lambda: bool(titled(run, "web/0 g2 ready")), "the second generation")

    program(start, f'{options.replace("spares=3", "spares=0")}, log_file="other.log"')
    os.kill(run.running.pid, signal.SIGHUP)
    until(lambda: bool(titled(run, "web/0 g3 ready")), "the third generation")
    until(lambda: not titled(run, "spare"), "no spare")
    assert not list(start.directory.glob("*.log"))

    [worker] = titled(run, "web/0 g3")
    killed = time.monotonic()
    os.kill(run.running.pid, signal.SIGKILL)
    until(lambda: not alive(worker), "the end of the grace")
    assert time.monotonic() - killed < 8, "and not the ten seconds of the default"
    run.running.wait()
    assert run.running.err.count(NOTICE) == 2, "not at the reload that changed nothing"


def test_operator_wins_over_code(start: Start) -> None:
    program(start, 'spares=5, log_format="json"')
    run = Run(start, "chat", "--spares", "2", "--log-format", "text", bind=False, env={"PREFORK_ORPHAN_GRACE": "3"})
    run.ready()
    until(lambda: len(titled(run, "spare")) == 2, "two spares")
    assert not any("the daemon's code" in line for line in run.running.err)
    assert run.stop() == 0


@pytest.mark.skipif(not root(), reason="only root can become another user")
def test_code_of_another_user_does_not_choose_the_control_group(anywhere: Start) -> None:  # noqa: F811
    source = HEAD + PROGRAM.replace('Daemon("user",', 'Daemon("user", control_group="games",') + SERVE + RUN
    served = as_nobody(anywhere, source)
    served.begin()
    served.running.expect("code sets control_group, which takes effect only when set by the operator", "err")
    served.ready("web/0", "web/1", "own/0")
    [path] = anywhere.directory.rglob("control.sock")
    assert path.stat().st_gid == 0
    assert served.stop() == 0
