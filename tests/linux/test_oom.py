"""The kernel's counter of out-of-memory kills, in both versions of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefork._master.hangs.evidence.oom import OomCounter

UNIFIED, LEGACY = "0::/service\n", "4:memory:/service\n1:cpu:/other\n"


@pytest.mark.parametrize(
    ("cgroups", "counter"),
    [(UNIFIED, "service/memory.events"), (LEGACY, "memory/service/memory.oom_control")],
    ids=["v2", "v1"],
)
def test_kill_is_counted_once(tmp_path: Path, cgroups: str, counter: str) -> None:
    (tmp_path / "cgroup").write_text(cgroups)
    file = tmp_path / counter
    file.parent.mkdir(parents=True)
    file.write_text("low 0\noom 7\noom_kill 2\n")
    kills = OomCounter(str(tmp_path), str(tmp_path / "cgroup"))
    assert not kills.grown()
    file.write_text("low 0\noom 8\noom_kill 3\n")
    assert kills.grown()
    assert not kills.grown()
    kills.close()


def test_no_counter_means_no_kill(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text(UNIFIED)
    kills = OomCounter(str(tmp_path), str(tmp_path / "cgroup"))
    assert not kills.grown()
    kills.close()
