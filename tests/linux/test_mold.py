"""The mold: it imports, plans, fails and ends; whatever the application does, the master only hears of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork._core.events import MoldFailed, PlanFailed, SpareForked
from prefork._master.births.channels import MoldDisconnected, PlanReceived
from small_master import SmallMaster


@pytest.fixture
def master() -> Iterator[SmallMaster]:
    with SmallMaster() as master:
        yield master


def test_imports_and_plans(master: SmallMaster) -> None:
    pid = master.start()
    master.channels.compute_plan(1)
    received = master.expect(PlanReceived)
    assert received.generation == 1
    assert isinstance(received.plan, dict)
    assert (received.plan["plans"], received.plan["argv"]) == (1, ["app.py", "--option"])
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"prefork: mold g1 test")


def test_plans_again_in_the_same_application(master: SmallMaster) -> None:
    master.planned()
    master.channels.compute_plan(1)
    plan = master.expect(PlanReceived).plan
    assert isinstance(plan, dict)
    assert plan["plans"] == 2


def test_a_plan_larger_than_a_socket_takes_arrives(master: SmallMaster) -> None:
    master.planned({"plans": {"2": {"size": 50_000}}})
    master.channels.compute_plan(1)
    assert master.expect(PlanReceived).plan == ["x" * 100] * 50_000


def test_a_failed_replan_leaves_the_mold_able_to_fork(master: SmallMaster) -> None:
    master.planned({"plans": {"2": {"raise": "no such table"}}})
    master.channels.compute_plan(1)
    failed = master.expect(PlanFailed)
    assert failed.generation == 1
    assert failed.report.endswith("ValueError: no such table")
    assert master.spare() > 0


def test_a_failed_first_plan_ends_the_mold(master: SmallMaster) -> None:
    pid = master.start({"plans": {"1": {"raise": "no such table"}}})
    master.channels.compute_plan(1)
    report = master.expect(MoldFailed).report
    assert report.splitlines()[0] == "computing the plan failed: ValueError: no such table"
    assert "mold_application.py" in report
    assert "/prefork/" not in report
    assert master.expect(MoldDisconnected).reason == ""
    assert master.status(pid) == 1


def test_a_failing_import_is_told_in_the_applications_words(master: SmallMaster) -> None:
    pid = master.start({"import": "no_such_module_anywhere"})
    report = master.expect(MoldFailed).report
    assert report.endswith("ModuleNotFoundError: No module named 'no_such_module_anywhere'")
    assert "importlib" not in report
    assert master.status(pid) == 1


def test_a_failing_before_fork_is_told(master: SmallMaster) -> None:
    master.start({"before_fork": "the pool does not close"})
    master.channels.compute_plan(1)
    assert master.expect(MoldFailed).report.startswith("before_fork failed:")


@pytest.mark.parametrize(
    ("arguments", "status"), [({"exit": 7}, 7), ({"segfault": 0}, -signal.SIGSEGV)], ids=["exit", "segfault"]
)
def test_an_import_that_ends_the_process_is_seen(master: SmallMaster, arguments: dict[str, int], status: int) -> None:
    pid = master.start(arguments)
    master.channels.compute_plan(1)
    master.expect(MoldDisconnected)
    assert master.status(pid) == status
    assert not master.facts


def test_an_import_that_hangs_says_nothing_and_can_be_killed(master: SmallMaster) -> None:
    pid = master.start({"hang": 600})
    master.channels.compute_plan(1)
    os.kill(pid, signal.SIGKILL)
    assert master.expect(MoldDisconnected).generation == 1
    assert master.status(pid) == -signal.SIGKILL


def test_threads_that_workers_will_not_have_are_named(master: SmallMaster) -> None:
    master.start({"thread": "metrics-sender"})
    master.channels.compute_plan(1)
    assert any("metrics-sender" in each for each in master.expect(PlanReceived).warnings)


def test_ends_with_status_0_when_the_master_is_done_with_it(master: SmallMaster) -> None:
    pid = master.planned()
    master.channels.end_mold(1)
    assert master.expect(MoldDisconnected).reason == ""
    assert master.status(pid) == 0


def test_an_interpreter_that_cannot_be_executed_is_told(master: SmallMaster) -> None:
    pid = master.start(python="/no/such/python")
    assert "cannot execute /no/such/python: No such file" in master.expect(MoldFailed).report
    assert master.status(pid) == 127


def test_two_molds_breed_side_by_side(master: SmallMaster) -> None:
    master.planned(generation=1)
    master.planned(generation=2)
    for generation in (1, 2):
        master.channels.fork_spares(generation, 2)
    born = [master.expect(SpareForked) for _ in range(4)]
    assert sorted(each.generation for each in born) == [1, 1, 2, 2]
