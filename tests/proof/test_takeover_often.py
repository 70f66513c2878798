"""The takeover of orphans, two hundred times, five at a time: on two processors each start then takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS, AT_A_TIME = 200, 5
TEST = Path(__file__).parent.parent / "system" / "test_daemon_under_load.py"


@pytest.mark.timeout(7200)
def test_takeover_is_steady_when_several_run_at_once() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TEST), "-k", "takes_over"]
    failed = []
    for _ in range(ROUNDS // AT_A_TIME):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        together = [subprocess.Popen(command, text=True, **pipes) for _ in range(AT_A_TIME)]  # type: ignore[call-overload]
        outputs = [running.communicate()[0] for running in together]
        failed += [text for running, text in zip(together, outputs, strict=True) if running.returncode]
    print(f"{ROUNDS} takeovers, {AT_A_TIME} at a time: {len(failed)} failed")
    assert not failed, "\n".join(failed)
