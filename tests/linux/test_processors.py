"""How many processors there are for us: affinity, and quotas of both kinds of control groups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prefork._mold.processors import usable

HERE = len(os.sched_getaffinity(0))


def group(tmp_path: Path, cgroup: str, mountinfo: str, files: dict[str, str]) -> int:
    """Return what is found where /proc and the control groups have these contents."""
    (tmp_path / "cgroup").write_text(cgroup)
    (tmp_path / "mountinfo").write_text(mountinfo)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return usable(str(tmp_path), str(tmp_path))


UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
LEGACY = "31 23 0:27 {top} /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct\n"


def test_without_control_groups_it_is_the_affinity(tmp_path: Path) -> None:
    assert usable(str(tmp_path), str(tmp_path)) == HERE


def test_the_affinity_counts_not_the_machine() -> None:
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    code += "from prefork._mold.processors import usable; print(usable())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"


@pytest.mark.skipif(HERE < 2, reason="one processor is the least there is")
@pytest.mark.parametrize(
    ("quota", "count"),
    [("max 100000", HERE), ("50000 100000", 1), ("100000 100000", 1), ("110000 100000", 2), ("100000", 1), ("", HERE)],
)
def test_a_unified_quota(tmp_path: Path, quota: str, count: int) -> None:
    files = {"sys/fs/cgroup/a/b/cpu.max": quota + "\n"}
    assert group(tmp_path, "0::/a/b\n", UNIFIED, files) == count


@pytest.mark.skipif(HERE < 2, reason="one processor is the least there is")
def test_a_group_above_limits_too(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/a/cpu.max": "100000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}
    assert group(tmp_path, "0::/a/b\n", UNIFIED, files) == 1


@pytest.mark.skipif(HERE < 2, reason="one processor is the least there is")
@pytest.mark.parametrize(("quota", "count"), [("-1", HERE), ("100000", 1), ("150000", 2)])
def test_a_legacy_quota(tmp_path: Path, quota: str, count: int) -> None:
    folder = "sys/fs/cgroup/cpu,cpuacct/a"
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    cgroup = "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n"
    assert group(tmp_path, cgroup, UNIFIED + LEGACY.format(top="/"), files) == count


@pytest.mark.skipif(HERE < 2, reason="one processor is the least there is")
def test_a_container_that_sees_only_its_own_group(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
    }
    cgroup = "5:cpuacct,cpu:/docker/4711\n"
    assert group(tmp_path, cgroup, LEGACY.format(top="/docker/4711"), files) == 1
