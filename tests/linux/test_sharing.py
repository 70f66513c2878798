"""What is done to a mold's heap: on which interpreters, to which objects, and what memory it saves."""

from __future__ import annotations

import sys

import pytest

from prefork._worker.immortal import support
from sharing_modes import IMMORTAL_REFUSED, MODES, immortal_only
from small_mold import run

pytestmark = pytest.mark.processes

# -- which interpreters can


def test_only_the_versions_that_were_tried_are_accepted() -> None:
    name = f"CPython {sys.version_info.major}.{sys.version_info.minor}"
    if sys.implementation.name == "cpython" and (3, 12) <= sys.version_info[:2] <= (3, 15):
        assert IMMORTAL_REFUSED is None or IMMORTAL_REFUSED.startswith(
            (f"{name} is a free-threaded", f"{name} is a debug")
        )
    else:
        assert IMMORTAL_REFUSED is not None
        assert name in IMMORTAL_REFUSED


@pytest.mark.parametrize(
    ("build", "refusal"),
    [
        (("cpython", (3, 12), None), None),
        (("cpython", (3, 15), None), None),
        (("cpython", (3, 11), None), "CPython 3.11 has no immortal objects"),
        (("cpython", (3, 16), None), "CPython 3.16 is newer than 3.15"),
        (("cpython", (3, 14), "is a debug build"), "CPython 3.14 is a debug build"),
        (("pypy", (3, 11), None), "pypy does not count references"),
    ],
)
def test_other_builds_are_refused_by_name(build: tuple[str, tuple[int, int], str | None], refusal: str | None) -> None:
    said = support._refused(*build)
    assert said == refusal or (said is not None and refusal is not None and said.startswith(refusal))


@pytest.mark.skipif(IMMORTAL_REFUSED is None, reason="immortal objects can be had here")
def test_unavailable_sharing_freezes_and_gives_the_reason() -> None:
    mode, warning, immortal, frozen = run(
        """
        did = sharing.prepare("immortal")
        print(did.mode, did.warning, did.immortal, gc.get_freeze_count() > 1000, sep="\\n")
        """
    )
    assert (mode, immortal, frozen) == ("freeze", "0", "True")
    assert warning == f"share='immortal' is impossible, share='freeze' is used: {IMMORTAL_REFUSED}"


@immortal_only
def test_without_ctypes_the_heap_is_frozen_and_the_reason_told() -> None:
    mode, warning = run(
        """
        sys.modules["_ctypes"] = None  # as in an interpreter built without libffi
        did = sharing.prepare("immortal")
        print(did.mode, did.warning, sep="\\n")
        """
    )
    assert mode == "freeze"
    assert "share='freeze' is used: ctypes is missing" in warning


def test_freezing_imports_neither_ctypes_nor_threading() -> None:
    assert run(
        """
        did = sharing.prepare("freeze")
        print(did.mode, did.warning, *sorted({"ctypes", "threading"} & sys.modules.keys()))
        """
    ) == ["freeze None"]


# -- memory


@pytest.mark.parametrize("mode", MODES)
def test_private_memory_after_touching_the_whole_heap(mode: str) -> None:
    """Two workers use every object of 60 MB; immortal objects must leave the pages shared."""
    lines = run(
        """
        heap = [{"id": i, "name": f"user-{i}", "tags": [f"t{i % 7}", str(i)]} for i in range(120_000)]
        did = sharing.prepare(sys.argv[1])
        def touch():
            for _ in range(3):
                for record in heap:
                    record["tags"][1], record["name"]
            gc.collect()
        with small_mold.resting(2, touch) as pids:
            for pid in pids:
                print(small_mold.Memory.of(pid).private)
        print(did.immortal, did.seconds)
        """,
        mode,
    )
    private = [float(line) for line in lines[:2]]
    print(f"{mode}: private MB a worker {private}; objects made immortal, seconds: {lines[2]}")
    if mode == "immortal":
        assert max(private) <= 2
        assert int(lines[2].split()[0]) > 600_000
    else:
        # So that the figure above says something: the same heap, dirty_slots as much, is copied without it.
        assert min(private) > 20


@immortal_only
def test_the_objects_are_immortal_really() -> None:
    """Also what only code holds, what only an untracked tuple holds, and what makes up a class."""
    assert run(
        """
        class Thing:
            def __init__(self): self.word = "".join(["a", "word"])
            def method(self): return 123456789.5, f"{self} of its own constant"
        thing, pair = Thing(), (1e100, "".join(["un", "tracked"]))
        gc.collect()
        print(gc.is_tracked(pair))
        sharing.prepare("immortal")
        code = Thing.method.__code__
        held = [thing, Thing, thing.word, pair, *pair, Thing.method, code, code.co_linetable, code.co_name]
        held += [code.co_consts, *code.co_consts, code.co_names, sys.modules, sys.argv]
        print({sys.getrefcount(obj) > 1 << 31 for obj in held}, sys.getrefcount(object()))
        """
    ) == ["False", "{True} 1"]


@immortal_only
def test_what_is_suspended_or_running_stays_mortal() -> None:
    """A generator's `finally` still runs in the worker that gives it up."""
    lines = run(
        """
        def generate():
            try:
                yield 1
            finally:
                print("finally")
        async def coroutine(): pass
        async def agen(): yield
        class Proxy:
            @property
            def __class__(self): print("asked for its class")
        suspended, unawaited, asynchronous, frame = generate(), coroutine(), agen(), sys._getframe()
        proxy = Proxy()
        next(suspended)
        sharing.prepare("immortal")
        print(max(map(sys.getrefcount, [suspended, unawaited, asynchronous, frame])) < 20)
        def work():
            global suspended
            suspended = None
            print("given up")
            unawaited.close()
        print(worker(work))
        unawaited.close()
        suspended.close()
        """
    )
    assert lines == ["True", "finally", "given up", "0", "finally"]


@immortal_only
def test_a_worker_that_becomes_a_mold_shares_what_it_has_added() -> None:
    """Also what it has put into objects that were immortal already and that a collection has set aside."""
    assert run(
        """
        table = {}
        sharing.prepare("immortal")
        def become_mold():
            table["new"] = ["".join(["only", "here"]), 2e100, ("".join(["deep", "er"]),)]
            table["leaf"] = "".join(["a", "leaf"])
            gc.collect()
            again = sharing.prepare("immortal")
            new = table["new"]
            print({sys.getrefcount(obj) > 1 << 31 for obj in [new, *new, new[2][0], table["leaf"]]})
            print(again.immortal < 2000, worker(lambda: print("third", table["leaf"])))
        print(worker(become_mold))
        """
    ) == ["{True}", "third aleaf", "True 0", "0"]
