"""What root's operator has asked for, where the application is another user's: done with root's rights, or refused."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prefork._linux import regular_file
from security.hostile import needs_root
from support import PATIENCE, PROOF, Start
from system.daemons import HEAD, RUN, SERVE
from system.other_user import NOBODY, AsNobody, anywhere, as_nobody
from system.runs import ASGI

__all__ = ["anywhere"]  # A fixture.

pytestmark = [needs_root, pytest.mark.timeout(120)]


# Paths of Unix sockets.


def serving(start: Start) -> AsNobody:
    pytest.importorskip("uvicorn")
    served = as_nobody(start, ASGI)
    served.command = "run program:app --workers 1"
    return served


def answer(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: client.recv(1000), b""))


def test_path_of_the_operator_is_bound_where_only_root_can(anywhere: Start) -> None:
    served = serving(anywhere)
    place = anywhere.directory / "operators"
    place.mkdir()
    served.begin("--bind", f"unix:{place}/web.sock")
    served.running.expect("ready", "err")
    assert (place / "web.sock").stat().st_uid == 0
    assert b"hello" in answer(place / "web.sock")
    assert served.stop() == 0
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("way", ["theirs", "writable", "a link of theirs"])
def test_path_that_others_can_redirect_is_bound_as_the_user(anywhere: Start, way: str) -> None:
    served = serving(anywhere)
    place = anywhere.directory / "theirs"
    if way == "writable":
        place = anywhere.directory / "shared"
        place.mkdir()
        place.chmod(0o777)
    target = anywhere.directory / "roots"
    target.mkdir()
    if way == "a link of theirs":
        (place / "link").symlink_to(target)
        os.lchown(place / "link", NOBODY, NOBODY)
        place /= "link"
    served.begin("--bind", f"unix:{place}/web.sock")
    if way == "a link of theirs":
        assert served.running.wait() == 1
        assert "Permission denied" in "\n".join(served.running.err)
    else:
        served.running.expect("ready", "err")
        assert (place / "web.sock").stat().st_uid == NOBODY
        assert served.stop() == 0
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("whose", ["root's", "theirs"])
def test_path_from_a_file_is_the_operators_if_the_file_is(anywhere: Start, whose: str) -> None:
    served = serving(anywhere)
    place, file = anywhere.directory / "operators", anywhere.directory / "options.toml"
    place.mkdir()
    file.write_text(f'bind = "unix:{place}/web.sock"')
    if whose == "theirs":
        os.chown(file, NOBODY, NOBODY)
    served.begin("--config", str(file))
    if whose == "theirs":
        assert served.running.wait() == 1
        assert "Permission denied" in "\n".join(served.running.err)
    else:
        served.running.expect("ready", "err")
        assert served.stop() == 0
    assert list(place.iterdir()) == []


# Terms of workers, where the master has not all capabilities.

TERMS = """
daemon = prefork.Daemon("user", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0)]
""" + SERVE.replace("worker(Web)", 'worker(Web, limits={"nofile": 900, "core": 0, "nproc": (4000, -1)}, MORE)')


WITHOUT = ["-sys_resource,-sys_nice", "-sys_resource", "-sys_nice", "-sys_resource,-dac_override"]


@pytest.mark.parametrize("without", WITHOUT if PROOF else WITHOUT[:1])
def test_terms_hold_where_the_master_has_no_capability(anywhere: Start, without: str) -> None:
    """A container has neither of the two by default, and its root may not even lower another user's limits."""
    more = f"nice=7, affinity={{{min(os.sched_getaffinity(0))}}}, oom_score_adj=500"
    served = as_nobody(anywhere, HEAD + TERMS.replace("MORE", more) + RUN)
    served.begin(groups=f"setpriv --bounding-set {without}")
    pid = served.ready("web/0")["web/0"]
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    [files] = [line.split() for line in limits if "open files" in line]
    [core] = [line.split() for line in limits if "core file" in line]
    assert (files[3:5], core[4:6]) == (["900", "900"], ["0", "0"])
    assert os.getpriority(os.PRIO_PROCESS, pid) == 7
    assert os.sched_getaffinity(pid) == {min(os.sched_getaffinity(0))}
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "500\n"
    assert served.stop() == 0
    assert not [line for line in served.running.err if "running without" in line and "nproc" not in line]


def test_term_that_raises_is_refused_without_capabilities_too(anywhere: Start) -> None:
    served = as_nobody(anywhere, HEAD + TERMS.replace("MORE", "nice=-5") + RUN)
    served.begin(groups="setpriv --bounding-set -sys_resource,-sys_nice")
    pid = served.ready("web/0")["web/0"]
    why = "an application without privileges may only lower it"
    served.running.expect(f"web/0: running without nice=-5: {why}", "err")
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0)
    assert served.stop() == 0


# Files that a command reads.

FILES: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a directory": lambda path: path.mkdir(),
    "a socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
    "too large": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**40),
}


@pytest.mark.parametrize(("command", "what"), [*[("status", what) for what in FILES], ("run", "a FIFO")])
def test_command_reads_no_file_that_would_keep_it(start: Start, command: str, what: str) -> None:
    FILES[what](start.directory / "prefork.toml")
    program = [sys.executable, "-c", "from prefork.cli import main; main()", command]
    running = start.command(*program, env={"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": str(start.directory)})
    assert running.wait() == 2, running.err
    assert running.err[-1].startswith("prefork: prefork.toml: cannot be read: it "), running.err


def test_crash_report_that_is_no_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "crashes").mkdir()
    for number, what in enumerate(FILES):
        FILES[what](tmp_path / "crashes" / f"{number}.json")
    program = "import sys, prefork; print(prefork.Client(sys.argv[1]).crashes())"
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


HOLDS = """
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], "w")
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
signal.pause()
"""


def test_file_with_a_lease_of_its_owner_is_not_waited_for(start: Start) -> None:
    """The kernel would have the one who opens it wait for 45 s."""
    file = start.directory / "prefork.toml"
    start.command(sys.executable, "-c", HOLDS, file).expect("held")
    with pytest.raises(BlockingIOError):
        regular_file.read(file)
