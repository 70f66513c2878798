"""Files that decide what root does: a log's place, a configuration, the code that root runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from security.hostile import needs_root
from support import PROOF, Start
from system.daemons import HEAD, RUN, SERVE
from system.other_user import NOBODY, AsNobody, anywhere, as_nobody

__all__ = ["anywhere"]  # A fixture.

pytestmark = [needs_root, pytest.mark.timeout(120)]

PROGRAM = """
daemon = prefork.Daemon("user", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0)]
"""


@pytest.fixture
def served(anywhere: Start) -> AsNobody:
    return as_nobody(anywhere, HEAD + PROGRAM + SERVE + RUN)


def theirs(served: AsNobody) -> Path:
    return served.start.directory / "theirs"


def test_log_file_in_a_directory_of_the_applications_is_refused(served: AsNobody) -> None:
    served.begin("--log-file", "theirs/a.log")
    assert served.running.wait() == 1
    assert "theirs belongs to nobody (uid 65534), who could replace it" in served.running.err[-1]
    assert not (theirs(served) / "a.log").exists()


def test_log_whose_directory_was_exchanged_goes_on(served: AsNobody) -> None:
    logs, target = served.start.directory / "logs", served.start.directory / "target"
    logs.mkdir()
    target.mkdir()
    served.begin("--log-file", "logs/a.log")
    served.ready("web/0")
    logs.rename(served.start.directory / "old")
    os.chown(served.start.directory / "old", NOBODY, NOBODY)
    logs.symlink_to(target)
    os.lchown(logs, NOBODY, NOBODY)
    served.signal(signal.SIGUSR1)
    served.signal(signal.SIGHUP)
    served.ready("web/0", generation=2)
    assert list(target.iterdir()) == []
    assert "continuing in the file that is open" in (served.start.directory / "old" / "a.log").read_text()
    assert served.stop() == 0


FILES = {
    "log_file": 'log_file = "/tmp/prefork-must-not-be-made.log"',
    "pid_file": 'pid_file = "/tmp/prefork-must-not-be-made.pid"',
    "env_file": 'env_file = "/etc/os-release"',
    "control_group": 'control_group = "nogroup"',
    "tls_cert": 'tls_cert = "/etc/hostname"',
    "new_privileges": "new_privileges = true",
    "bind": 'bind = "127.0.0.1:81"',
}


WHOSE = ["theirs", "writable", "in their directory"]
DECIDED = [(whose, option) for whose in WHOSE for option in (FILES if PROOF or whose == "theirs" else ["log_file"])]
"""Whose file it is does not depend on the option in it: the proof tries every pair."""


@pytest.mark.parametrize(("whose", "option"), DECIDED)
def test_file_of_another_user_decides_nothing_that_needs_root(served: AsNobody, option: str, whose: str) -> None:
    file = (theirs(served) if whose == "in their directory" else served.start.directory) / "options.toml"
    file.write_text(FILES[option])
    if whose == "theirs":
        os.chown(file, NOBODY, NOBODY)
    elif whose == "writable":
        file.chmod(0o666)
    served.begin("--config", str(file))
    assert served.running.wait() == 2
    assert f"decides {option}, for which root is needed" in served.running.err[-1]
    assert not Path("/tmp/prefork-must-not-be-made.log").exists()


def test_file_of_another_user_may_decide_the_rest(served: AsNobody) -> None:
    file = theirs(served) / "options.toml"
    file.write_text("spares = 2\n")
    served.begin("--config", str(file))
    served.ready("web/0")
    assert served.stop() == 0
