"""Births and exits of workers, whatever is done to the heap that they share."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import pytest

from sharing_modes import MODES, immortal_only
from small_mold import run

pytestmark = pytest.mark.processes

# -- births


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("collecting", ["enable", "disable"])
def test_collector_is_as_the_application_set_it(mode: str, collecting: str) -> None:
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
def test_what_exit_handlers_write_arrives(mode: str, tmp_path: Path) -> None:
    """Also lines for a file of the mold, which as an immortal object is not flushed by its own end."""
    lines = run(
        """
        import atexit
        class App: pass
        app = App()
        app.log = open(sys.argv[2], "w")
        sharing.prepare(sys.argv[1])
        def work():
            atexit.register(lambda: print("the last line"))
            atexit.register(lambda: print("the last line", file=app.log))
        print(worker(work))
        """,
        mode,
        str(tmp_path / "log"),
    )
    assert lines == ["the last line", "0"]
    assert (tmp_path / "log").read_text() == "the last line\n"


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
def test_object_in_a_mold_container_is_finalized_at_exit(mode: str) -> None:
    lines = run(
        """
        class Resource:
            def __del__(self): print("finalized")
        class App: pass
        app, registry = App(), []
        sharing.prepare(sys.argv[1])
        def work():
            app.resource = Resource()
            registry.append(Resource())
            registry.append(Resource())
            registry.pop()
        worker(work)
        """,
        mode,
    )
    assert lines == ["finalized"] * 3


@pytest.mark.parametrize("freeze", ["", "gc.freeze()"], ids=["plain", "frozen"])
def test_files_with_an_end_are_complete_after_exit(freeze: str, tmp_path: Path) -> None:
    """Also where the application hides the worker's heap from the collector, and a finalizer raises before."""
    run(
        f"""
        import gzip, zipfile
        os.chdir(sys.argv[1])
        class Raises:
            def __del__(self): raise KeyError("ignored")
        sharing.prepare("freeze")
        def work():
            global text, archive, broken
            text = gzip.open("text.gz", "wt")
            text.write("complete")
            archive = zipfile.ZipFile("archive.zip", "w")
            archive.writestr("member", "complete")
            broken, sys.stderr = Raises(), open("ignored", "w")
            {freeze}
        assert worker(work) == 0
        """,
        str(tmp_path),
    )
    assert gzip.decompress((tmp_path / "text.gz").read_bytes()) == b"complete"
    assert zipfile.ZipFile(tmp_path / "archive.zip").read("member") == b"complete"
    ignored = (tmp_path / "ignored").read_text().splitlines()
    assert ignored[0].startswith("Exception ignored in: <function ")
    assert ignored[-1] == "KeyError: 'ignored'"


def test_mold_file_is_deleted_at_the_end_of_the_mold() -> None:
    """And not at the end of a worker, which has an object of it, too. Its object deletes it by a finalizer."""
    name, after_worker = run(
        """
        import tempfile
        from prefork._mold.leave import leave
        file = tempfile.NamedTemporaryFile()
        sharing.prepare("freeze")
        worker(lambda: None)
        print(file.name, os.path.exists(file.name), sep="\\n")
        leave(0)
        """
    )
    assert after_worker == "True"
    assert not os.path.exists(name)


def test_text_of_a_c_library_is_written_at_exit() -> None:
    lines = run(
        """
        import ctypes
        worker(lambda: ctypes.pythonapi.printf(b"printed in C\\n"))
        """
    )
    assert lines == ["printed in C"]


@pytest.mark.parametrize("mode", MODES)
def test_mold_finalizers_survive_a_worker(mode: str) -> None:
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
    assert lines[-2].startswith("ZeroDivisionError")
    assert lines[-1] == "1"


def test_exit_does_not_wait_for_a_thread_that_reads_a_response() -> None:
    """Its finalizer closes it, which would wait for the thread, and that for a server that is silent."""
    lines = run(
        """
        import http.client, signal, socket, threading, time
        def wait():
            global ends, response
            ends = socket.socketpair()
            response = http.client.HTTPResponse(ends[0])
            reader = threading.Thread(target=response.begin, daemon=True)
            reader.start()
            # Its name, which Python 3.14 sets, may have blanks.
            while open(f"/proc/self/task/{reader.native_id}/stat").read().rpartition(") ")[2][0] != "S":
                time.sleep(0.001)
            signal.alarm(20)
        print(worker(wait))
        """
    )
    assert lines == ["0"]


def test_exit_says_nothing_of_files_that_are_closed() -> None:
    lines = run(
        """
        import os, socket
        os.dup2(1, 2)
        def leave_closed():
            global ends, files
            ends = socket.socketpair()
            files = [ends[0].makefile("rb"), ends[0].makefile("wb"), ends[0].makefile("rwb", buffering=0)]
            for each in files:
                each.close()
        print(worker(leave_closed))
        """
    )
    assert lines == ["0"]
