"""Terms imposed on real processes, and what is refused without the privilege for it."""

from __future__ import annotations

import os
import resource
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork._linux.terms import Terms, apply
from support import until

HERE = min(os.sched_getaffinity(0))


@pytest.fixture
def pid() -> Iterator[int]:
    with subprocess.Popen(["sleep", "100"]) as process:
        yield process.pid
        process.kill()


def test_all_terms_are_imposed(pid: int) -> None:
    terms = Terms((("nofile", 100, 200), ("core", 0, 0)), 5, (HERE,), 500)
    assert list(apply(pid, terms, True)) == []
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (100, 200)
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 5
    assert os.sched_getaffinity(pid) == {HERE}
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "500\n"


AUTOGROUP = Path("/proc/self/autogroup")
scheduled_by_session = pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not schedule by session")


def of_session(pid: int) -> int:
    """Return the nice value of a process's session."""
    return int(Path(f"/proc/{pid}/autogroup").read_text().split()[-1])


@pytest.fixture
def leader() -> Iterator[int]:
    """A process that leads a session, as workers do."""
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as process:
        yield process.pid
        process.kill()


@scheduled_by_session
def test_nice_value_is_that_of_the_workers_session_too(leader: int) -> None:
    def is_applied() -> bool:
        assert list(apply(leader, Terms(nice=6), True)) == []
        return of_session(leader) == 6

    until(is_applied, "the kernel takes it: ten a second, of all that are not root")


@scheduled_by_session
def test_nice_value_is_not_that_of_anothers_session() -> None:
    # A session of the test's own: that of the tests has no group of its own where they run in the one of init.
    shell = ["sh", "-c", "sleep 100 & echo $!; read end; kill $!"]
    with subprocess.Popen(shell, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as leader:
        assert leader.stdout is not None
        member = int(leader.stdout.readline())
        assert list(apply(member, Terms(nice=6), True)) == []
        assert os.getpriority(os.PRIO_PROCESS, member) == 6
        assert of_session(member) == of_session(leader.pid) == 0


def test_refused_term_leaves_the_others_applied(pid: int) -> None:
    refused = list(apply(pid, Terms((("nofile", 2**62, 2**62),), 7, (65535,), 1), True))
    assert [text.partition(":")[0] for text in refused] == [f"limit nofile={2**62}", "affinity=65535"]
    assert os.getpriority(os.PRIO_PROCESS, pid) == 7
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1\n"


def test_infinity_is_the_systems_for_every_version(pid: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_CORE)
    if hard != resource.RLIM_INFINITY:
        pytest.skip("the hard limit of core files is finite here")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(apply(pid, Terms((("core", 0, -1),)), False)) == []
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, resource.RLIM_INFINITY)


def test_a_process_that_has_gone_is_no_trouble() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert len(list(apply(process.pid, Terms((("core", 0, 0),), 1, (HERE,), 1), True))) == 4


def test_who_is_not_privileged_can_go_down_and_not_up(pid: int) -> None:
    nice = min(os.getpriority(os.PRIO_PROCESS, pid) + 5, 19)  # These tests may run at a nice value of their own.
    assert list(apply(pid, Terms((("nofile", 100, 200),), nice, (), 500), False)) == []
    up = Terms(
        (("nofile", 100, 300), ("nofile", 200, -1), ("nofile", 100, 200), ("nofile", 50, 100)), nice - 1, (HERE,), 499
    )
    why = "an application without privileges may only lower it"
    assert list(apply(pid, up, False)) == [
        f"limit nofile=100:300: {why}",
        f"limit nofile=200:-1: {why}",
        f"nice={nice - 1}: {why}",
        f"oom_score_adj=499: {why}",
    ]
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (50, 100)
    assert os.getpriority(os.PRIO_PROCESS, pid) == nice
