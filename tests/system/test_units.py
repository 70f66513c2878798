"""The units of docs/systemd/ are well formed; `make proof` runs them under a real systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import PATIENCE

UNITS = Path(__file__).parents[2] / "docs" / "systemd"
DOCUMENT = (UNITS.parent / "systemd.md").read_text()
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


def test_the_service_is_rated_as_documented() -> None:
    """Other versions of systemd ask for other things; none of them may find much more."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    command = [analyze, "security", "--offline=true", "--no-pager", "--threshold=25", str(UNITS / "shop.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze rates no files")
    assert done.returncode == 0, done.stdout
    found = re.search(r"shop\.service: ([\d.]+) (\w+)", done.stdout)
    assert found is not None, done.stdout
    version = subprocess.run([analyze, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    if f"(systemd {version};" in DOCUMENT:
        assert f"rates it {found[1]} {found[2]}" in DOCUMENT


def test_what_the_service_forbids_is_explained() -> None:
    text = (UNITS / "shop.service").read_text()
    assert "\nNoNewPrivileges=yes\nCapabilityBoundingSet=\n" in text
    table = DOCUMENT.partition("## What the service may do")[2].partition("\n## ")[0]
    for name in re.findall(r"`(\w+=)", table.partition("Not there")[0]):
        assert f"\n{name}" in text or name in ("ReadWritePaths=", "StateDirectory="), name
    for name in re.findall(r"`(\w+=)", table.partition("Not there")[2].partition("If the master")[0]):
        assert f"\n{name}" not in text, name
