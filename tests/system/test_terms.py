"""Kinds of workers with terms of their own: what /proc says of each of their processes."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

import prefork
from support import Start
from system.daemons import HEAD, RUN, Served

HERE = min(os.sched_getaffinity(0))

PROGRAM = """
@dataclass(frozen=True)
class Own(prefork.WorkerContext):
    id: int

@dataclass(frozen=True)
class Plain(prefork.WorkerContext):
    id: int

@dataclass(frozen=True)
class Wins(prefork.WorkerContext):
    id: int

    def launch(self):
        return prefork.Launch(nice=9)

daemon = prefork.Daemon("terms")

@daemon.plan
def plan():
    return [Web(0), Own(0), Plain(0), Wins(0)]

TERMS = dict(limits={"nofile": 512, "core": (0, -1)}, umask=0o027, nice=5, affinity={HERE}, oom_score_adj=500)

@daemon.worker(Web, **TERMS)
async def web(worker):
    tell(worker)
    await worker.wait_draining()

@daemon.worker(Own, spawn="exec", **TERMS)
def own(worker):
    tell(worker)
    worker.wait_draining()

@daemon.worker(Plain)
def plain(worker):
    tell(worker)
    worker.wait_draining()

@daemon.worker(Wins, nice=5)
def wins(worker):
    tell(worker)
    worker.wait_draining()

def tell(worker):
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
"""

HARD = resource.getrlimit(resource.RLIMIT_CORE)[1]


def facts(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    files = next(line.split() for line in limits if line.startswith("Max open files"))
    core = next(line.split() for line in limits if line.startswith("Max core file size"))
    return {
        "umask": status["Umask"],
        "processors": status["Cpus_allowed_list"],
        "files": f"{files[3]}:{files[4]}",
        "core": f"{core[4]}:{core[5]}",
        "nice": Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16],
        "oom": Path(f"/proc/{pid}/oom_score_adj").read_text().strip(),
    }


def program(start: Start, name: str, source: str) -> Served:
    return Served(start, name, HEAD + source.replace("HERE", str(HERE)) + RUN)


def test_each_kind_has_its_terms_and_nobody_else_has(start: Start) -> None:
    served = program(start, "terms", PROGRAM).launch()
    pids = served.ready("web/0", "own/0", "plain/0", "wins/0")
    told = {
        "umask": "0027",
        "processors": str(HERE),
        "files": "512:512",
        "core": "0:unlimited",
        "nice": "5",
        "oom": "500",
    }
    master = facts(served.running.pid)
    if HARD != -1 and os.geteuid() != 0:
        pytest.skip("core dumps are limited here")
    assert facts(pids["web/0"]) == told
    assert facts(pids["own/0"]) == told
    assert facts(pids["plain/0"]) == master
    assert facts(pids["wins/0"]) == {**master, "nice": "9"}
    assert facts(served.mold) == master
    assert served.stop() == 0
    assert not any("without" in line for line in served.running.err)


def test_what_the_system_refuses_is_said_and_the_worker_runs(start: Start) -> None:
    served = program(start, "refused", PROGRAM.replace("affinity={HERE}", "affinity={60000}")).launch()
    pids = served.ready("web/0", "own/0", "plain/0", "wins/0")
    lines = [served.running.expect("running without affinity=60000: ", "err").string for _ in range(2)]
    assert {line.partition(":")[0] for line in lines} == {"web/0", "own/0"}
    assert facts(pids["web/0"])["nice"] == "5"
    assert served.stop() == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"limits": {"nofiles": 1}}, "limits: there is no limit 'nofiles': did you mean nofile?"),
        ({"limits": {"zzz": 1}}, "limits: there is no limit 'zzz': the names are as, core, "),
        ({"limits": {"nofile": (2, 1)}}, r"limits: nofile is \(2, 1\): the soft limit is above the hard one"),
        ({"limits": {"nofile": (-1, 5)}}, "the soft limit is above the hard one"),
        ({"limits": {"nofile": -2}}, "limits: nofile is -2: give a number, or a soft and a hard one"),
        ({"limits": {"nofile": "many"}}, "limits: nofile is 'many': give a number"),
        ({"umask": 0o1000}, "umask: 512 is not a mode from 0 to 0o777"),
        ({"nice": 20}, "nice: 20 is not a whole number, -20 to 19"),
        ({"affinity": 3}, "affinity: 3 is not a list of processor numbers"),
        ({"affinity": {-1}}, "affinity: -1 is not a whole number, 0 to 65536"),
        ({"oom_score_adj": 1001}, "oom_score_adj: 1001 is not a whole number, -1000 to 1000"),
        ({"oom_score": 1}, "there is no option oom_score: did you mean oom_score_adj?"),
    ],
)
def test_values_that_are_none_are_refused_where_they_are_written(options: dict[str, object], complaint: str) -> None:
    class Own(prefork.WorkerContext, kind="own"):
        pass

    with pytest.raises(prefork.UsageError, match=complaint) as raised:
        prefork.Daemon("d").worker(Own, **options)  # type: ignore[arg-type]
    assert str(raised.value).startswith("worker(Own): ")
