"""Children of the master: what one is, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import prefork
from prefork._master.forks.child import execute, forked

MASTER = Path(prefork.__file__).parent / "_master"


def told(become: Callable[[], object]) -> tuple[int, str]:
    """Return the exit status of a child, and what it has written to its standard error."""
    reader, writer = os.pipe()

    def child() -> None:
        os.dup2(writer, 2)
        become()

    pid = forked(child)
    os.close(writer)
    with open(reader, "rb") as written:
        text = written.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


def raises() -> None:
    raise KeyError("\x1bno such\nplace")


def test_child_that_returns_exits_with_0() -> None:
    assert told(lambda: None) == (0, "")


def test_child_that_raises_ends_and_says_why_in_one_line() -> None:
    status, text = told(raises)
    assert (status, text) == (127, "prefork: KeyError: '\\x1bno such\\nplace'\n")


def test_child_does_not_unwind_into_the_master() -> None:
    assert told(sys.exit) == (127, "prefork: SystemExit: \n")


def test_child_whose_standard_error_is_closed_ends() -> None:
    def child() -> None:
        os.close(2)
        raises()

    assert os.waitstatus_to_exitcode(os.waitpid(forked(child), 0)[1]) == 127


def test_child_leads_a_session_and_gets_no_signal_of_its_master() -> None:
    def child() -> None:
        assert os.getsid(0) == os.getpid()
        os.kill(os.getpid(), signal.SIGTERM)
        os.write(2, b"blocked")

    came: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        assert told(child) == (0, "blocked")
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGTERM, former)
    assert not came


def test_program_that_is_executed_gets_signals_as_a_new_process() -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    former = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        assert told(lambda: execute([sys.executable, "-I", "-S", "-c", program], {})) == (-signal.SIGTERM, "")
    finally:
        signal.signal(signal.SIGTERM, former)


def test_master_forks_in_one_place() -> None:
    """A copy would be the one that forgets to block signals, or that runs the master's code on."""
    found = [
        path for path in MASTER.rglob("*.py") if re.search(r"os\.(fork|forkpty|posix_spawn)\w*\(", path.read_text())
    ]
    assert found == [MASTER / "forks" / "child.py"]
