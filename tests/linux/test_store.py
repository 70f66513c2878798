"""What a service manager is to hold: what it has lost is said again, and no want of descriptors ends the master."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork._master.loop import Master
from prefork._master.store.content import Stored
from prefork._master.store.store import Store
from stores import DescriptorStore
from support import until


@pytest.fixture
def master() -> Iterator[Master]:
    with Master() as made:
        yield made


@pytest.fixture
def numbers(tmp_path: Path) -> Iterator[dict[str, int]]:
    """Return descriptors of three files by name."""
    found = {}
    for name in "one", "two", "three":
        (tmp_path / name).write_text(name)
        found[f"prefork-stored-file-{name}"] = os.open(tmp_path / name, os.O_RDONLY)
    yield found
    for number in found.values():
        os.close(number)


def store_at(master: Master, path: Path, held: tuple[str, ...] = ()) -> Store:
    return Store(master, {"NOTIFY_SOCKET": str(path), "FDSTORE": "64"}, held)


def test_what_a_manager_has_lost_is_stored_and_removed_again(
    master: Master, tmp_path: Path, numbers: dict[str, int]
) -> None:
    one, two, three = numbers
    store = store_at(master, tmp_path / "manager", held=(one,))
    store.hold({two: numbers[two]})  # There is no manager: it is executed again, or restarts.
    manager = DescriptorStore(tmp_path / "manager")
    manager.held = [(one, os.dup(numbers[one]))]  # It has kept what it was sent before.
    store.hold({two: numbers[two], three: numbers[three]})
    until(lambda: sorted(manager.names) == sorted([two, three]), "what is wanted, and nothing else")
    came = len(manager.came)
    store.hold({two: numbers[two], three: numbers[three]})
    store.hold({two: numbers[two]})
    until(lambda: manager.names == [two], "the end of what is not wanted")
    assert len(manager.came) == came + 2, "one message of two lines: nothing is sent twice"
    store.close()
    manager.close()


def test_want_of_descriptors_is_made_up_for_with_the_next_note(
    master: Master, tmp_path: Path, numbers: dict[str, int]
) -> None:
    manager = DescriptorStore(tmp_path / "manager")
    store = store_at(master, tmp_path / "manager")
    store.hold({})
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, limits[1]))
    spare = []
    try:
        while True:
            spare.append(os.dup(0))
    except OSError:
        pass
    try:
        store.hold({**numbers, "prefork-stored-roster-1": str(tmp_path / "one")})
    finally:
        for number in spare:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    store.hold(numbers)
    until(lambda: sorted(manager.names) == sorted(numbers), "all of them")
    store.close()
    manager.close()


def test_file_that_cannot_be_put_back_ends_no_start(tmp_path: Path) -> None:
    (tmp_path / "stored").write_text("x")
    (tmp_path / "stored").chmod(0o600)
    (tmp_path / "roster").mkdir()
    stored = Stored({"prefork-stored-roster-1": os.open(tmp_path / "stored", os.O_RDONLY)})
    stored.put_back(str(tmp_path))
    assert stored.marked([], alone=True) == {}
    assert (tmp_path / "roster").is_dir()
