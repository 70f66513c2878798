"""A project that `prefork new` has written passes its own tests at once; in `make proof` those of every template."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from prefork.cli._new.templates import TEMPLATES
from support import PROOF, Start
from system.runs import PREFORK

LONGEST = 100
"""Seconds."""
NEEDED = {"grpc": ["grpc", "grpc_tools"], "django": ["django", "whitenoise"], "flask": ["flask", "granian"]}


@pytest.mark.parametrize("template", TEMPLATES if PROOF else ["consumer"])
def test_new_project_passes_its_tests(start: Start, template: str) -> None:
    for package in NEEDED.get(template, []):
        pytest.importorskip(package)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TEST"))}
    new = start.command(PREFORK, "new", "shop", "--template", template, cwd=start.directory)
    assert new.wait() == 0
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    words += ["--basetemp", str(start.directory / "temporary")]  # Not where other runs clean up at this moment.
    # Its tests wait for thirty seconds each where the machine is busy, as ours do: this one waits for longer.
    folder = start.directory / "shop"
    tests = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST)
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert " passed" in tests.stdout.splitlines()[-1]
