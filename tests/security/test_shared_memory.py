"""Garbage in the memory that all processes of a daemon can write to: the scoreboard and the stacks."""

from __future__ import annotations

import time

import pytest

from security.hostile import Hostile, needs_root
from support import PATIENCE, PROOF, Start
from system.other_user import anywhere
from system.runs import PREFORK

__all__ = ["anywhere"]  # A fixture.

pytestmark = [needs_root, pytest.mark.timeout(300)]

WRITES = """
import random
for number in os.listdir("/proc/self/fd"):
    with suppress(OSError):
        if "memfd:prefork" in os.readlink(f"/proc/self/fd/{number}"):
            size = os.fstat(int(number)).st_size
            # Of application metrics there are 34 GB, nearly all of them without a row that has them.
            for place in range(START, min(size, 200_000_000), 65536):
                os.pwrite(int(number), BYTES, place)
            note("wrote", os.readlink(f"/proc/self/fd/{number}"), size)
note("wrote all")
"""

GARBAGE = {
    "random bytes": ("0", "random.randbytes(min(65536, size - place))"),
    "ones": ("0", "bytes([255]) * min(65536, size - place)"),
    "all but the head": ("4096", "random.randbytes(min(65536, size - place))"),
}


@pytest.mark.skipif(not PREFORK.exists(), reason="prefork is not installed")
@pytest.mark.parametrize("garbage", list(GARBAGE) if PROOF else list(GARBAGE)[:1])
def test_garbage_keeps_neither_master_nor_commands(anywhere: Start, garbage: str) -> None:
    hostile = Hostile(anywhere)
    hostile.begin()
    hostile.ready("web/0", "web/1")
    start, data = GARBAGE[garbage]
    with hostile.unharmed():
        hostile.attack(WRITES.replace("START", start).replace("BYTES", data))
        hostile.until_noted("wrote all")
        for command in ("status", "crashes", "stacks web/1", "events", "explain web/1"):
            began = time.monotonic()
            asked = anywhere.command(PREFORK, *command.split(), env=hostile.environment)
            asked.wait()
            assert time.monotonic() - began < PATIENCE
            assert "Traceback" not in "\n".join(asked.err), command
    assert (hostile.theirs / "notes").read_text().count("memfd:prefork") >= 2
    assert hostile.stop() == 0, hostile.log()
