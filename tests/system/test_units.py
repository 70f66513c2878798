"""The units of docs/systemd/ are well formed; `make proof` runs them under a real systemd."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import PATIENCE

UNITS = Path(__file__).parents[2] / "docs" / "systemd"
HERE = Path(sys.executable).parent


def test_the_units_are_what_systemd_understands(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/srv/shop/venv/bin", str(HERE)).replace("User=shop\n", "")
        (tmp_path / unit.name).write_text(text)
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run([analyze, "verify", *files], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    ours = [line for line in done.stderr.splitlines() if "shop" in line]
    assert ours == []
