"""10^9 uses of constants of the mold move no count: one that rose with each use would wrap after 5 * 10^8."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sharing_modes import immortal_only
from small_mold import PATHS, PREAMBLE

PROGRAM = """
from time import monotonic
from immortal_counts import Counts

def use(times):
    for _ in range(times):
        a = "a constant"; b = (1.5, "of a tuple"); c = "an_identifier"; d = 2.25; e = 123456789
        f = b"some bytes"; g = ((1, 2.5), "nested"); h = "another one"; i = 1e99; j = 10**20

use(100)
sharing.prepare("immortal")
counts = Counts()
def work():
    counts.take()
    start = monotonic()
    use(10**8)
    print(f"{10**9:,} uses of constants in {monotonic() - start:.0f} s, {len(counts.addresses):,} immortal objects")
    print(counts.moved())
worker(work)
"""


@immortal_only
@pytest.mark.processes
@pytest.mark.timeout(1300)
def test_uses_of_constants_move_no_count() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + PROGRAM],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*PATHS, *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
        timeout=1200,
        check=True,
    )
    print(sys.version.split()[0], done.stdout)
    assert done.stdout.splitlines()[1:] == ["{}"]
