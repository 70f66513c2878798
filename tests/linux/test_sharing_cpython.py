"""CPython's own tests pass in workers of an immortal heap: the widest question that can be asked of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import cpython_suite
from small_mold import PATHS

UNAVAILABLE = cpython_suite.available()


@pytest.mark.skipif(UNAVAILABLE is not None, reason=str(UNAVAILABLE))
@pytest.mark.timeout(300)
def test_cpythons_own_tests_pass_in_workers_of_an_immortal_heap(tmp_path: Path) -> None:
    """The quick ones. `python tests/cpython_suite.py` runs the others as well."""
    suite = subprocess.Popen(
        [sys.executable, str(Path(cpython_suite.__file__)), *cpython_suite.QUICK.split()],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(PATHS)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = suite.communicate(timeout=290)
    except subprocess.TimeoutExpired:
        os.killpg(suite.pid, signal.SIGKILL)  # What hangs there would run on for ever.
        suite.wait()
        raise
    print(output.splitlines()[-1])
    assert suite.returncode == 0, output
