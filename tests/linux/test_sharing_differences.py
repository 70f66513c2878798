"""What an immortal heap changes for an application, each beside the same program in a frozen heap.

`docs/sharing.md` tells these differences to users; a difference that goes away fails here and is to be taken
out there.
"""

from __future__ import annotations

import importlib.util

import pytest

from sharing_modes import immortal_only
from small_mold import run

pytestmark = [immortal_only, pytest.mark.processes]


def in_both(program: str) -> tuple[list[str], list[str]]:
    """What the program prints with a frozen and with an immortal heap."""
    return run(program, "freeze"), run(program, "immortal")


def test_weak_references_to_mold_objects_never_call_back() -> None:
    frozen, immortal = in_both(
        """
        import weakref
        class Node: pass
        node, listed, by_name = Node(), weakref.WeakSet(), weakref.WeakValueDictionary()
        listed.add(node)
        by_name["it"] = node
        gone = weakref.ref(node, lambda _: print("callback"))
        sharing.prepare(sys.argv[1])
        def work():
            global node
            node = None
            gc.collect()
            print(gone() is None, len(listed), len(by_name))
        worker(work)
        """
    )
    assert frozen == ["callback", "True 0 0"]
    assert immortal == ["False 1 1"]


def test_the_molds_objects_are_not_finalized_in_a_worker() -> None:
    frozen, immortal = in_both(
        """
        class Resource:
            def __init__(self, name): self.name = name
            def __del__(self):
                if os.getpid() != mold: print(self.name, "finalized")
        mold = os.getpid()
        given_up, held = Resource("given up"), Resource("held")
        sharing.prepare(sys.argv[1])
        def work():
            global given_up
            given_up = None
            print("work done")
        worker(work)
        """
    )
    assert frozen == ["given up finalized", "work done"]
    assert immortal == ["work done"]


def test_dropping_a_mold_socket_or_file_leaves_it_open() -> None:
    frozen, immortal = in_both(
        """
        import socket, warnings
        warnings.simplefilter("ignore", ResourceWarning)
        sockets, files = [socket.socket(), socket.socket()], [open(sys.executable, "rb")]
        numbers = [one.fileno() for one in sockets + files]
        sharing.prepare(sys.argv[1])
        def is_open(number):
            return os.path.exists(f"/proc/self/fd/{number}")
        def work():
            sockets.pop().close()
            sockets.clear()
            files.clear()
            print([is_open(number) for number in numbers])
        worker(work)
        """
    )
    assert frozen == ["[False, False, False]"]
    assert immortal == ["[True, False, True]"]


def test_mold_container_keeps_workers_objects_until_cleared() -> None:
    """To give the container up frees nothing of it. To clear it does, and it can be used again."""
    frozen, immortal = in_both(
        """
        class Node: pass
        rebound, cleared, by_name, distinct = [], [], {}, set()
        sharing.prepare(sys.argv[1])
        def alive():
            gc.collect()
            return sum(type(obj) is Node for obj in gc.get_objects())
        def work():
            global rebound
            rebound += [Node() for _ in range(100)]
            for _ in range(2):
                cleared.extend(Node() for _ in range(1000))
                by_name.update((n, Node()) for n in range(1000))
                distinct.update(Node() for _ in range(1000))
                print(alive(), len(cleared), len(by_name), len(distinct))
                cleared.clear(), by_name.clear(), distinct.clear()
            print(alive())
            rebound = []
            print(alive())
        worker(work)
        """
    )
    filled = ["3100 1000 1000 1000"] * 2
    assert frozen == [*filled, "100", "0"]
    assert immortal == [*filled, "100", "100"]


@pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="numpy is not installed")
def test_an_array_of_the_mold_cannot_be_resized_in_place() -> None:
    """numpy asks the reference count whether anybody else sees the array."""
    frozen, immortal = in_both(
        """
        import numpy
        array = numpy.zeros(10)
        sharing.prepare(sys.argv[1])
        def work():
            array[:] = 1
            print(array.sum())
            try:
                array.resize(20)
                print(len(array))
            except ValueError as error:
                print("ValueError")
            own = numpy.zeros(10)
            own.resize(20)
        print(worker(work))
        """
    )
    assert frozen == ["10.0", "20", "0"]
    assert immortal == ["10.0", "ValueError", "0"]
