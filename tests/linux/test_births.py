"""Births: who the newborns are, what a batch costs, and every way in which one can go wrong half-way."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork._core.events import ForkFailed, SpareForked
from prefork._master.births.channels import MoldDisconnected, PlanReceived
from prefork._wire.launch import Identity
from small_master import SOURCE, SmallMaster, readable, standard_error_to
from support import children, state, until

NOBODYS_UID = 54_321  # of which nothing else runs here, so that a limit of its processes counts ours alone


@pytest.fixture
def master() -> Iterator[SmallMaster]:
    with SmallMaster() as master:
        yield master


def everyone_ends_in_peace(master: SmallMaster, besides: set[int]) -> None:
    """All children but these exit 0 by themselves."""
    while ours := master.children() - besides:
        for pid in ours:
            assert master.status(pid) == 0


def test_newborns_are_children_of_the_master_and_lead_sessions(master: SmallMaster) -> None:
    master.planned()
    master.channels.fork_spares(1, 3)
    pids = {master.expect(SpareForked).pid for _ in range(3)}
    assert pids <= master.children()
    assert all(os.getsid(pid) == pid for pid in pids)
    titles = {Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0") for pid in pids}
    assert titles == {b"prefork: spare g1 test"}


def test_names_of_what_forks_have_no_blank(master: SmallMaster) -> None:
    """CPython counts the threads of a process that forks by a word of /proc/PID/stat, each blank a word before it."""
    mold = master.planned()
    assert Path(f"/proc/{mold}/comm").read_text() == "prefork:mold-g1\n"
    assert Path(f"/proc/{master.spare()}/comm").read_text() == "prefork:spare-g\n"
    assert Path(f"/proc/{master.worker('serve')}/comm").read_text() == "prefork:serve/0\n"


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("action", ["always", "error"])
def test_a_filter_of_warnings_stops_no_fork(master: SmallMaster, tmp_path: Path, action: str, threads: bool) -> None:
    """CPython 3.12 and newer warn of a fork of threads, and 3.15 raises it where warnings are errors."""
    with standard_error_to(tmp_path / "output"):
        master.planned({"warnings": action, **({"thread": "one"} if threads else {})})
        master.channels.fork_spares(1, 2)
        pids = [master.expect(SpareForked).pid for _ in range(2)]
        for pid in pids:
            master.channels.dismiss(pid)
            assert master.status(pid) == 0
    assert (tmp_path / "output").read_text() == ""


def test_n_births_cost_n_plus_1_forks(master: SmallMaster, tmp_path: Path) -> None:
    forks = tmp_path / "forks"
    master.planned({"count_forks": str(forks)})
    master.channels.fork_spares(1, 50)
    for _ in range(50):
        master.expect(SpareForked)
    assert forks.stat().st_size == 51


def test_a_spare_that_is_dismissed_exits_0(master: SmallMaster) -> None:
    master.planned()
    pid = master.spare()
    master.channels.dismiss(pid)
    assert master.status(pid) == 0


def test_a_spare_that_gets_term_exits_0(master: SmallMaster) -> None:
    master.planned()
    pid = master.spare()
    os.kill(pid, signal.SIGTERM)
    assert master.status(pid) == 0


def test_kept_spare_rehearses_once_without_harm(master: SmallMaster, tmp_path: Path) -> None:
    rehearsals = tmp_path / "rehearsals"
    master.planned({"rehearsals": str(rehearsals)})
    pid, dismissed, drained = kept = [master.spare() for _ in range(3)]
    until(lambda: set(map(str, kept)) <= set(rehearsals.read_text().split()), "the rehearsals")
    titles = {Path(f"/proc/{each}/cmdline").read_bytes().rstrip(b"\0") for each in kept}
    assert titles == {b"prefork: spare g1 test"}
    master.order(pid, "serve")
    assert master.ask()["pid"] == pid
    master.channels.dismiss(dismissed)
    os.kill(drained, signal.SIGTERM)
    os.kill(pid, signal.SIGTERM)
    assert [master.status(each) for each in kept] == [0, 0, 0]
    assert all(rehearsals.read_text().split().count(str(each)) == 1 for each in kept)


def test_a_term_in_the_middle_of_a_rehearsal_is_heard(master: SmallMaster) -> None:
    master.planned({"drained_in_rehearsal": True})
    assert master.status(master.spare()) == 0


def test_batch_does_not_rehearse_while_it_waits(master: SmallMaster, tmp_path: Path) -> None:
    rehearsals = tmp_path / "rehearsals"
    mold = master.planned({"rehearsals": str(rehearsals)})
    master.channels.fork_spares(1, 2)
    for _ in range(2):
        master.expect(SpareForked)
    later = master.spare()
    until(lambda: str(later) in rehearsals.read_text().split(), "the rehearsal of one that is younger, but alone")
    assert set(rehearsals.read_text().split()) == {str(mold), str(later)}


def test_spares_survive_their_mold(master: SmallMaster) -> None:
    mold = master.planned()
    pid = master.spare()
    os.killpg(mold, signal.SIGKILL)
    assert master.expect(MoldDisconnected).generation == 1
    master.order(pid, "serve")
    assert master.ask()["pid"] == pid


def failed_forks(master: SmallMaster, count: int) -> set[str]:
    """Wait until `count` forks have failed, in one fact or in several; return the reasons."""
    reasons = set()
    while count > 0:
        failed = master.expect(ForkFailed)
        reasons.add(failed.reason)
        count -= failed.count
    assert count == 0
    return reasons


def test_killed_intermediate_costs_the_rest_of_its_batch(master: SmallMaster) -> None:
    mold = master.planned({"intermediate": {"fork": 3, "signal": signal.SIGKILL}})
    master.channels.fork_spares(1, 5)
    assert failed_forks(master, 2) == {"the intermediate was killed by signal 9"}
    born = {master.expect(SpareForked).pid for _ in range(3)}
    assert master.children() == {mold, *born}


@pytest.mark.parametrize("way", ["ignore_children", "reap_all"])
def test_an_application_may_have_ways_of_its_own_with_children(master: SmallMaster, way: str) -> None:
    master.planned({way: True})
    for _ in range(2):
        pid = master.spare()
        master.order(pid, "serve")
        assert master.ask()["pid"] == pid
        os.kill(pid, signal.SIGTERM)
        assert master.status(pid) == 0


def test_births_with_sigchld_ignored_by_the_application(master: SmallMaster) -> None:
    master.planned({"ignore_children": True})
    status = Path(f"/proc/{master.spare()}/status").read_text()
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    assert not ignored & 1 << signal.SIGCHLD - 1


def test_births_of_a_mold_that_dies_are_refused(master: SmallMaster) -> None:
    mold = master.planned({"intermediate": {"fork": 2, "signal": signal.SIGSTOP}})
    master.channels.fork_spares(1, 3)
    until(lambda: [each for each in children(mold) if state(each) == "T"], "the stopped intermediate")
    [intermediate] = children(mold)
    os.kill(mold, signal.SIGKILL)
    assert master.status(mold) == -signal.SIGKILL
    assert intermediate in master.children()

    failed, *rest = master.facts + master.channels.finish_mold(1)
    assert not rest
    assert isinstance(failed, ForkFailed)
    assert (failed.count, failed.reason) == (3, "the mold has exited")

    os.kill(intermediate, signal.SIGCONT)
    everyone_ends_in_peace(master, set())
    assert not master.channels.read()


def test_mold_socket_is_read_to_its_end_first(master: SmallMaster) -> None:
    mold = master.planned()
    master.channels.fork_spares(1, 2)
    until(lambda: len(master.children()) == 3, "the births")
    os.kill(mold, signal.SIGKILL)
    master.status(mold)
    facts = master.channels.read()
    while not any(isinstance(each, MoldDisconnected) for each in facts):
        readable(master.channels)
        facts += master.channels.read()
    born = [each for each in facts if isinstance(each, SpareForked)]
    refused = sum(each.count for each in facts if isinstance(each, ForkFailed))
    assert len(born) + refused == 2


def test_a_stopped_mold_delays_no_other(master: SmallMaster) -> None:
    mold = master.planned()
    os.kill(mold, signal.SIGSTOP)
    for _ in range(500):
        master.channels.fork_spares(1, 0)
    master.channels.fork_spares(1, 1)
    assert not master.channels.read()
    os.kill(mold, signal.SIGCONT)


def test_a_stopped_mold_breeds_when_it_goes_on(master: SmallMaster) -> None:
    mold = master.planned()
    os.kill(mold, signal.SIGSTOP)
    until(lambda: state(mold) == "T", "the stop")
    master.channels.fork_spares(1, 1)
    assert not master.channels.read()
    os.kill(mold, signal.SIGCONT)
    assert master.expect(SpareForked).generation == 1


def test_a_fork_that_fails_is_told_with_its_reason(master: SmallMaster) -> None:
    python, identity = _unprivileged()
    # The mold, its intermediate, and two more.
    master.planned({"processes": 4}, python=python, identity=identity)
    master.channels.fork_spares(1, 5)
    assert failed_forks(master, 3) == {"a process could not be forked: Resource temporarily unavailable"}
    pids = [master.expect(SpareForked).pid for _ in range(2)]
    # The intermediate has gone, so there is room for one process: the next intermediate.
    master.channels.fork_spares(1, 1)
    assert master.expect(ForkFailed).count == 1
    master.channels.dismiss(pids[0])
    master.status(pids[0])
    master.channels.fork_spares(1, 1)
    assert master.expect(SpareForked).pid not in pids


def test_a_mold_that_cannot_fork_tells_its_reason(master: SmallMaster) -> None:
    python, identity = _unprivileged()
    master.planned({"processes": 1}, python=python, identity=identity)
    master.channels.fork_spares(1, 4)
    failed = master.expect(ForkFailed)
    assert failed.count == 4
    assert failed.reason == "the mold could not fork: Resource temporarily unavailable"


def test_a_mold_has_no_privileges_from_the_start(master: SmallMaster, open_path: Path) -> None:
    """Not even what the environment makes an interpreter run before any of our code."""
    python, identity = _unprivileged()
    code = "import os, sys; print(os.getresuid(), os.getresgid(), os.getgroups(), file=sys.stderr)"
    (open_path / "sitecustomize.py").write_text(code)
    output = open_path / "output"
    with standard_error_to(output):
        master.start(python=python, identity=identity, path=[str(open_path)])
    master.channels.compute_plan(1)
    plan = master.expect(PlanReceived).plan
    assert isinstance(plan, dict)
    assert (plan["uid"], plan["groups"]) == (identity.uid, [])
    assert output.read_text() == f"{(identity.uid,) * 3} {(identity.gid,) * 3} []\n"


def test_no_descriptor_is_left_over(master: SmallMaster) -> None:
    master.planned()
    for pid in [master.spare(), master.spare()]:
        master.channels.dismiss(pid)
        master.status(pid)
    before = len(os.listdir("/proc/self/fd"))
    master.channels.fork_spares(1, 20)
    pids = [master.expect(SpareForked).pid for _ in range(20)]
    for pid in pids[:10]:
        os.kill(pid, signal.SIGKILL)
        master.status(pid)
        assert not master.channels.finish(pid)
    for pid in pids[10:]:
        master.channels.dismiss(pid)
        master.status(pid)
    assert len(os.listdir("/proc/self/fd")) == before


def test_births_that_the_master_has_no_descriptors_for_fail(master: SmallMaster) -> None:
    master.planned()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    full = max(int(each) for each in os.listdir("/proc/self/fd")) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (full, hard))
    fillers = []
    try:
        try:
            while True:
                fillers.append(os.dup(0))
        except OSError:
            pass
        [failed] = master.channels.fork_spares(1, 3)
    finally:
        for each in fillers:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert isinstance(failed, ForkFailed)
    assert failed.count == 3
    assert "descriptor" in failed.reason
    assert master.spare() > 0


def _unprivileged() -> tuple[str, Identity]:
    """An interpreter that a user without rights can execute, and that user."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a mold as another user")
    identity = Identity(NOBODYS_UID, NOBODYS_UID)
    code = f"import sys; sys.path[:0] = {[SOURCE, *sys.path]!r}; import prefork._mold.mold"
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run([python, "-c", code], check=True, user=identity.uid, group=identity.gid, extra_groups=[])
        except (OSError, subprocess.CalledProcessError):
            continue
        return python, identity
    pytest.skip("no interpreter with setproctitle that another user may execute")


def test_the_parent_of_an_order_is_compared(master: SmallMaster) -> None:
    master.planned()
    pid = master.spare()
    master.order(pid, "serve", master=1)
    assert master.status(pid) == 0
