"""CPython's own tests pass in workers of an immortal heap: the widest question that can be asked of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proof import cpython_suite
from small_mold import PATHS

UNAVAILABLE = cpython_suite.available()


@pytest.mark.skipif(UNAVAILABLE is not None, reason=str(UNAVAILABLE))
@pytest.mark.timeout(3600)
def test_cpythons_own_tests_pass_on_an_immortal_heap(tmp_path: Path) -> None:
    suite = subprocess.Popen(
        [sys.executable, str(Path(cpython_suite.__file__))],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(PATHS)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = suite.communicate(timeout=3500)
    except subprocess.TimeoutExpired:
        os.killpg(suite.pid, signal.SIGKILL)  # A test that hangs would run on.
        suite.wait()
        raise
    print(output.splitlines()[-1])
    assert suite.returncode == 0, output
