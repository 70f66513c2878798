"""`--user`: the application is another user from its first import on, and no process but the master keeps root."""

from __future__ import annotations

import os
import signal
import socket
import sys

import pytest

from support import Start, until
from system.daemons import HEAD, RUN, SERVE, Served, root, title
from system.other_user import NOBODY, anywhere, as_nobody, rights

__all__ = ["anywhere"]  # A fixture.

FIRST = """
import os, sys
os.write(1, f"first uid {os.getuid()} {os.geteuid()} {os.getgid()} {os.getgroups()}\\n".encode())
"""

PROGRAM = """
@dataclass(frozen=True)
class Own(prefork.WorkerContext):
    id: int

daemon = prefork.Daemon("user", listeners={"http": "tcp://127.0.0.1:PORT", "local": "unix://THEIRS/socket"})

@daemon.plan
def plan():
    return [Web(0), Web(1), Own(0)]

@daemon.worker(Own, spawn="exec")
def own(worker):
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    worker.wait_draining()
"""


ROLES = ["mold", "own/0", "spare", "watcher", "web/0", "web/1"]


def role(pid: int) -> str:
    """The first word of a process's title; a newborn has its mold's for a moment, or none yet."""
    return title(pid).removeprefix("prefork: ").partition(" ")[0]


@pytest.mark.skipif(not root(), reason="only root can become another user")
def test_no_process_but_the_master_keeps_root(anywhere: Start) -> None:
    pytest.importorskip("watchfiles")
    served = as_nobody(anywhere, FIRST + HEAD + PROGRAM + SERVE + RUN)
    served.begin("--reload", "--reload-dir", "theirs", groups="setpriv --groups 0,4,27")
    pids = served.ready("web/0", "web/1", "own/0")
    until(lambda: sorted(map(role, served.running.children())) == ROLES, "mold, spare, watcher and three workers")
    nobody = {
        "Uid": " ".join(["65534"] * 4),
        "Gid": " ".join(["65534"] * 4),
        "Groups": "65534",
        "CapPrm": "0000000000000000",
        "CapEff": "0000000000000000",
    }
    for pid in served.running.children():
        assert rights(pid) == nobody, title(pid)
    assert rights(served.running.pid)["Uid"].split() == ["0"] * 4
    os.kill(pids["web/0"], signal.SIGKILL)
    assert rights(served.ready("web/0")["web/0"]) == nobody

    where = anywhere.directory / "theirs" / "socket"
    assert where.stat().st_uid == NOBODY
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(where))
    told = [line for line in served.running.out if line.startswith("first uid")]
    assert set(told) == {"first uid 65534 65534 65534 [65534]"}
    assert served.stop() == 0, "\n".join(served.running.err[-40:])
    assert not where.exists()


@pytest.mark.skipif(not root(), reason="only root can become another user")
def test_application_gets_only_what_its_user_may_have(anywhere: Start) -> None:
    source = HEAD + PROGRAM + SERVE.replace("worker(Web)", "worker(Web, nice=-5, oom_score_adj=-100)") + RUN
    served = as_nobody(anywhere, source)
    served.begin()
    served.ready("web/0", "web/1", "own/0")
    why = "an application without privileges may only lower it"
    served.running.expect_each(
        [f"web/0: running without nice=-5: {why}", f"web/1: running without oom_score_adj=-100: {why}"], "err"
    )
    theirs = anywhere.directory / "theirs"
    for address in "tcp://127.0.0.1:81", f"unix://{anywhere.directory}/socket":
        served.write(source.replace("tcp://127.0.0.1:PORT", address).replace("THEIRS", str(theirs)))
        served.signal(signal.SIGHUP)
        served.running.expect(f"reload: failed: cannot listen on {address} ", "err")
    assert not (anywhere.directory / "socket").exists()
    assert served.ask()[1] == 1
    assert served.stop() == 0


@pytest.mark.skipif(not root(), reason="only root could run application code as root")
def test_script_mode_as_root_with_a_user_named_is_refused(start: Start) -> None:
    served = Served(start, "script-user")
    running = start.command(sys.executable, "program.py", env={**served.environment, "PREFORK_USER": "nobody"})
    assert running.wait() == 2
    assert "start it by `prefork run`" in running.err[0]


@pytest.mark.skipif(not root(), reason="only root can become another user")
def test_variables_that_only_root_may_read_reach_it(anywhere: Start) -> None:
    """Also after a reload, whose mold cannot read the file again."""
    secret = anywhere.directory / "secret.env"
    secret.write_text("SECRET=known\n")
    secret.chmod(0o600)
    told = "os.write(1, f\"secret {os.environ['SECRET']}\\n\".encode())\n"
    served = as_nobody(anywhere, HEAD + told + PROGRAM + SERVE + RUN)
    served.begin("--env-file", "secret.env", "--pid-file", str(anywhere.directory / "own.pid"))
    served.ready("web/0", "web/1", "own/0")
    assert (anywhere.directory / "own.pid").read_text() == f"{served.running.pid}\n"
    served.signal(signal.SIGHUP)
    note = "secret.env: cannot be read: Permission denied; the variables of the daemon's start hold"
    served.running.expect(f"mold of generation 2: {note}", "err")
    served.running.expect("^reload: done", "err")
    assert "\n".join(served.running.out).count("secret known") >= 2
    assert served.stop() == 0


@pytest.mark.skipif(not root(), reason="only root can become another user")
def test_pid_file_where_its_user_could_put_a_link_is_refused(anywhere: Start) -> None:
    served = as_nobody(anywhere, HEAD + PROGRAM + SERVE + RUN)
    served.begin("--pid-file", "theirs/pid")
    assert served.running.wait() == 1
    where = anywhere.directory / "theirs"
    why = f"prefork: cannot write the pid file {where}/pid: its parent {where} belongs to nobody"
    assert served.running.err[-1].startswith(why)
    assert not (where / "pid").exists()
