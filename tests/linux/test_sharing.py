"""What is done to a mold's heap, seen from real workers forked from it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from prefork._linux import sharing
from small_mold import run

IMMORTAL_REFUSED = sharing.unsupported()
immortal_only = pytest.mark.skipif(IMMORTAL_REFUSED is not None, reason=str(IMMORTAL_REFUSED))
MODES = ["none", "freeze", pytest.param("immortal", marks=immortal_only)]


# -- which interpreters can


def test_only_the_versions_that_were_tried_are_accepted() -> None:
    name = f"CPython {sys.version_info.major}.{sys.version_info.minor}"
    if sys.implementation.name == "cpython" and name in ("CPython 3.12", "CPython 3.13"):
        assert IMMORTAL_REFUSED is None or "free-threaded" in IMMORTAL_REFUSED or "debug" in IMMORTAL_REFUSED
    else:
        assert IMMORTAL_REFUSED is not None
        assert name in IMMORTAL_REFUSED


@pytest.mark.parametrize(
    ("build", "refusal"),
    [
        (("cpython", (3, 12), False, False), None),
        (("cpython", (3, 13), False, False), None),
        (("cpython", (3, 11), False, False), "CPython 3.11 has no immortal objects"),
        (("cpython", (3, 14), False, False), "CPython 3.14 marks immortal objects in another way"),
        (("cpython", (3, 13), True, False), "CPython 3.13 is a free-threaded build"),
        (("cpython", (3, 12), False, True), "CPython 3.12 is a debug build"),
        (("pypy", (3, 11), False, False), "pypy does not count references"),
    ],
)
def test_other_builds_are_refused_by_name(
    build: tuple[str, tuple[int, int], bool, bool], refusal: str | None
) -> None:
    said = sharing._refused(*build)
    assert said == refusal or (said is not None and refusal is not None and said.startswith(refusal))


@pytest.mark.skipif(IMMORTAL_REFUSED is None, reason="immortal objects can be had here")
def test_where_it_cannot_be_had_the_heap_is_frozen_and_the_reason_told() -> None:
    mode, warning, immortal, frozen = run(
        """
        did = sharing.prepare("immortal")
        print(did.mode, did.warning, did.immortal, gc.get_freeze_count() > 1000, sep="\\n")
        """
    )
    assert (mode, immortal, frozen) == ("freeze", "0", "True")
    assert warning == f"share='immortal' cannot be had, share='freeze' is used: {IMMORTAL_REFUSED}"


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
def test_private_memory_of_workers_that_have_touched_the_whole_heap(mode: str) -> None:
    """Four workers use every object of 60 MB; immortal objects must leave the pages shared."""
    lines = run(
        """
        heap = [{"id": i, "name": f"user-{i}", "tags": [f"t{i % 7}", str(i)]} for i in range(120_000)]
        did = sharing.prepare(sys.argv[1])
        def touch():
            for _ in range(3):
                for record in heap:
                    record["tags"][1], record["name"]
            gc.collect()
        with small_mold.resting(4, touch) as pids:
            for pid in pids:
                print(small_mold.Memory.of(pid).private)
        print(did.immortal, did.seconds)
        """,
        mode,
    )
    private = [float(line) for line in lines[:4]]
    print(f"{mode}: private MB a worker {private}; objects made immortal, seconds: {lines[4]}")
    if mode == "immortal":
        assert max(private) <= 2
        assert int(lines[4].split()[0]) > 600_000
    else:
        # So that the figure above says something: the same heap, touched as much, is copied without it.
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
        print({sys.getrefcount(obj) for obj in held}, sys.getrefcount(object()))
        """
    ) == ["False", "{4294967295} 1"]


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
            print({sys.getrefcount(obj) for obj in [new, *new, new[2][0], table["leaf"]]})
            print(again.immortal < 2000, worker(lambda: print("third", table["leaf"])))
        print(worker(become_mold))
        """
    ) == ["{4294967295}", "third aleaf", "True 0", "0"]


# -- births


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("collecting", ["enable", "disable"])
def test_the_collector_is_as_the_application_had_it_and_takes_new_garbage(mode: str, collecting: str) -> None:
    lines = run(
        """
        import weakref
        getattr(gc, sys.argv[2])()
        class Node: pass
        sharing.prepare(sys.argv[1])
        def work():
            print(gc.isenabled())
            node = Node()
            node.self = node
            gone = weakref.ref(node, lambda _: print("collected"))
            del node
            gc.collect()
            for _ in range(20_000 if gc.isenabled() else 0):
                node = Node()
                node.self = node
            print(sum(type(obj) is Node for obj in gc.get_objects()) < 10_000)
        print(worker(work))
        """,
        mode,
        collecting,
    )
    assert lines == [str(collecting == "enable"), "collected", "True", "0"]


def test_each_worker_draws_other_random_numbers() -> None:
    """CPython sees to it at the fork: this fails if some version should not."""
    lines = run(
        """
        import random
        sharing.prepare("freeze")
        for _ in range(3):
            worker(lambda: print(random.random()))
        """
    )
    assert len(set(lines)) == 3


@pytest.mark.parametrize("mode", MODES)
def test_what_the_mold_had_in_a_buffer_comes_once(mode: str, tmp_path: Path) -> None:
    lines = run(
        """
        class Odd:
            def flush(self): raise KeyError("not even this may stop a mold")
        log = open(sys.argv[2], "w")
        log.write("from the mold\\n")
        sys.stdout.write("printed by the mold\\n")
        sys.stderr, closed = Odd(), open(sys.argv[2])
        closed.close()
        sharing.prepare(sys.argv[1])
        sys.stderr = sys.__stderr__
        print([worker(lambda: None) for _ in range(2)])
        """,
        mode,
        str(tmp_path / "log"),
    )
    assert lines == ["printed by the mold", "[0, 0]"]
    assert (tmp_path / "log").read_text() == "from the mold\n"


def test_threads_that_a_fork_would_lose_are_named() -> None:
    lines = run(
        """
        import threading
        stop = threading.Event()
        ticker = threading.Thread(target=stop.wait, name="ticker")
        ticker.start()
        print(sharing.prepare("freeze").threads, sharing.prepare("freeze").native_threads)
        stop.set()
        ticker.join()
        print(sharing.prepare("freeze").threads, sharing.prepare("freeze").native_threads)
        """
    )
    assert lines == ["('ticker',) 0", "() 0"]


def test_threads_that_python_does_not_know_are_counted() -> None:
    lines = run(
        """
        import _thread
        go, gone = _thread.allocate_lock(), _thread.allocate_lock()
        go.acquire(), gone.acquire()
        def wait():
            go.acquire()
            gone.release()
        _thread.start_new_thread(wait, ())
        did = sharing.prepare("freeze")
        print("threading" in sys.modules, did.threads, did.native_threads)
        go.release()
        gone.acquire()
        """
    )
    assert lines == ["False () 1"]


# -- exits


@pytest.mark.parametrize("mode", MODES)
def test_a_workers_files_are_complete_wherever_it_has_put_them(mode: str, tmp_path: Path) -> None:
    """In a variable, in a module, in the mold's containers and instances; also a file opened by the mold."""
    run(
        """
        os.chdir(sys.argv[2])
        class App: pass
        app, files = App(), {}
        app.log = open("mold", "w")
        sharing.prepare(sys.argv[1])
        def write():
            global module_level
            local = open("local", "w")
            module_level = open("global", "w")
            app.file = open("instance", "w")
            files["it"] = open("container", "wb")
            for file in (local, module_level, app.file, app.log):
                file.write("complete")
            files["it"].write(b"complete")
        assert worker(write) == 0
        """,
        mode,
        str(tmp_path),
    )
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == dict.fromkeys(["local", "global", "instance", "container", "mold"], "complete")


@pytest.mark.parametrize("mode", MODES)
def test_objects_of_a_worker_are_finalized_at_its_exit(mode: str) -> None:
    lines = run(
        """
        class Resource:
            def __init__(self, name): self.name = name
            def __del__(self): print(self.name)
        sharing.prepare(sys.argv[1])
        def work():
            global module_level
            module_level = Resource("global")
            cycle = Resource("cycle")
            cycle.self = cycle
        worker(work)
        """,
        mode,
    )
    assert sorted(lines) == ["cycle", "global"]


@pytest.mark.parametrize("mode", MODES)
def test_finalizers_and_temporary_directories_of_the_mold_survive_a_worker(mode: str) -> None:
    """And run once, in the mold; those that a worker makes run in that worker."""
    lines = run(
        """
        import tempfile, weakref
        class Owner: pass
        owner = Owner()
        directory = tempfile.TemporaryDirectory()
        mold = os.getpid()
        def where(): return "mold" if os.getpid() == mold else "worker"
        weakref.finalize(owner, lambda: print("finalized in the", where()))
        sharing.prepare(sys.argv[1])
        def work():
            global own, own_directory
            own, own_directory = Owner(), tempfile.TemporaryDirectory()
            weakref.finalize(own, lambda: print("the worker's own, in the", where()))
            print(own_directory.name)
        print([worker(work), worker(work)], os.path.isdir(directory.name))
        print(directory.name)
        """,
        mode,
    )
    assert [line for line in lines if "/" not in line] == [
        *["the worker's own, in the worker"] * 2,
        "[0, 0] True",
        "finalized in the mold",
    ]
    directories = [Path(line) for line in lines if "/" in line]
    assert len(directories) == 3
    assert not [path for path in directories if path.exists()]


@pytest.mark.parametrize("mode", MODES)
def test_exit_handlers_of_the_mold_do_run_in_a_worker(mode: str) -> None:
    """Clients that send what they have gathered depend on it; the documentation says so."""
    lines = run(
        """
        import atexit
        atexit.register(lambda: print("at exit"))
        sharing.prepare(sys.argv[1])
        worker(lambda: print("work"))
        """,
        mode,
    )
    assert lines == ["work", "at exit", "at exit"]


@immortal_only
def test_the_exit_of_a_worker_does_not_copy_an_immortal_heap() -> None:
    """Workers that end together at a reload would else need, at once, what sharing had saved."""
    before, after, code = run(
        """
        heap = [{"id": i, "name": f"user-{i}", "tags": [f"t{i % 7}", str(i)]} for i in range(120_000)]
        sharing.prepare("immortal")
        def end():
            print(small_mold.Memory.of(os.getpid()).private)
            sharing.before_exit()
            gc.collect()
            print(small_mold.Memory.of(os.getpid()).private)
        print(worker(end))
        """
    )
    print(f"private MB before and after the last collection: {before}, {after}")
    assert float(after) - float(before) <= 1
    assert code == "0"


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_that_fails_exits_with_its_code(mode: str) -> None:
    lines = run(
        """
        sharing.prepare(sys.argv[1])
        sys.stderr = sys.stdout
        print(worker(lambda: 1 / 0))
        """,
        mode,
    )
    assert re.match(r"ZeroDivisionError", lines[-2])
    assert lines[-1] == "1"
