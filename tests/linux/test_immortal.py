"""The counts of immortal objects: nothing moves them, or they would wrap and free an object in use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sharing_modes import immortal_only
from small_mold import PATHS, PREAMBLE, run

pytestmark = [immortal_only, pytest.mark.processes]

USES = """
class Thing: pass
thing, listed, table = Thing(), [], {}
def default(a=("de", 0.5)): return a
def use():
    listed.append("a constant with blanks")
    thing.x = (1.5, "b b")
    table["a key of it"] = ["text of it", 2.25]
    listed.append(frozenset if "x x" in {"x x", "y y"} else 3.5)
    a, b = "left and", "right of"
    listed.append(f"{a} {b}" + "a tail of it")
    default(a=("given", 1e99)), default()
    listed.append("{} is it".format("an argument of it"))
    for each in ("one of", "two of"): listed.append(each)
    try: raise KeyError("told of it")
    except KeyError as error: listed.append(error)
    listed.clear(), table.clear()
    return "what it returns"
"""


COUNTED = """
from immortal_counts import Counts
cold = {}
exec(sys.argv[1], cold)
for _ in range(100):
    use()
sharing.prepare("immortal")
counts = Counts()
def work():
    counts.take()
    for _ in range(1000):
        use(), cold["use"]()
    print(counts.moved())
print(worker(work), len(counts.addresses) > 5000)
"""

WITHOUT_FUNCTIONS = """
from immortal_counts import Counts
scope, listed = {"listed": []}, []
exec("def generate():\\n while True:\\n  yield listed.append('shared_constant')", scope)
suspended = scope.pop("generate")()
def elsewhere(): return "shared_constant", "constant_of_a_call"
for _ in range(100):
    next(suspended)
for turn in range(200):
    listed.append("constant_of_a_call")
    if turn == 100:
        sharing.prepare("immortal")
        counts = Counts()
print(counts.moved())
def work():
    counts.take()
    for _ in range(1000):
        next(suspended)
    print(counts.moved())
print(worker(work))
"""


def test_running_code_moves_no_count() -> None:
    """Neither code that ran in the mold, which CPython 3.14 had adapted to mortal constants, nor code that did not."""
    assert run(USES + COUNTED, USES) == ["{}", "0 True"]


def test_code_without_a_function_moves_no_count() -> None:
    """Nor code of a generator, or of a call that is not over: their frames hold functions, by which it is found."""
    assert run(WITHOUT_FUNCTIONS) == ["{}", "{}", "0"]


def test_another_layout_is_frozen_and_the_reason_told() -> None:
    lines = run(
        """
        from prefork._worker.immortal import support
        support.NONE += 1
        did = sharing.prepare("immortal")
        print(did.mode, did.warning, did.immortal, sep="\\n")
        """
    )
    assert lines[0] == "freeze"
    assert "share='freeze' is used: objects have an unknown layout (None counts 0x" in lines[1]
    assert lines[2] == "0"


@pytest.mark.skipif(sys.version_info[:2] != (3, 14), reason="only CPython 3.14 has such an instruction")
def test_instruction_that_counts_is_found_by_the_trial() -> None:
    """As it would be on a version that has one which is not known here."""
    lines = run(
        """
        from prefork._worker.immortal import support
        support.settle = lambda codes: None
        did = sharing.prepare("immortal")
        print(did.mode, did.warning, sep="\\n")
        """
    )
    assert lines[0] == "freeze"
    assert "the count of an immortal constant has moved by 100 in 100 runs of its code" in lines[1]


@pytest.mark.skipif(not getattr(getattr(sys, "_jit", None), "is_available", bool)(), reason="no JIT in this build")
def test_with_the_jit_the_heap_is_frozen_and_the_reason_told() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + 'print(sharing.prepare("immortal").warning)'],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(PATHS), "PYTHON_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "share='freeze' is used: CPython 3." in done.stdout, done.stderr
    assert "has its JIT on" in done.stdout
