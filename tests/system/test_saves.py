"""Development with `--reload`: files saved in all the ways of editors and tools, with a browser's connection open."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from time import monotonic

import pytest

from support import PATIENCE, PROOF, Start, until
from system.runs import WSGI, Run, write

pytest.importorskip("watchfiles")

SHOP = WSGI.replace('TEXT = "hello"', "from text import TEXT")


def plain(place: Path, text: str) -> None:
    (place / "text.py").write_text(text)


def as_vim_does(place: Path, text: str) -> None:
    (place / "text.py").rename(place / "text.py~")
    (place / "text.py").write_text(text)
    (place / "text.py~").unlink()


def by_renaming(place: Path, text: str) -> None:
    (place / ".text.py.tmp").write_text(text)
    (place / ".text.py.tmp").replace(place / "text.py")


def formatted(place: Path, text: str) -> None:
    plain(place, text.replace(" = ", "  =  "))
    by_renaming(place, text)


def by_a_branch_switch(place: Path, text: str) -> None:
    for number in range(20):
        (place / f"module{number}.py").write_text(f"# {text}")
    (place / "text.py").unlink()
    (place / "text.py").write_text(text)


def with_a_new_package(place: Path, text: str) -> None:
    shutil.rmtree(place / "package", ignore_errors=True)
    (place / "package").mkdir()
    (place / "package" / "__init__.py").write_text(text)
    plain(place, "from package import TEXT")


def replaced(place: Path, text: str) -> None:
    """As `git worktree` or a deployment: another directory takes the place of the project's."""
    other, former = place.with_name("other"), place.with_name("former")
    shutil.copytree(place, other)
    plain(other, text)
    place.rename(former)
    other.rename(place)
    shutil.rmtree(former)


SAVES: list[Callable[[Path, str], None]] = [
    plain, as_vim_does, by_renaming, formatted, by_a_branch_switch, with_a_new_package, replaced
]  # fmt: skip


@contextmanager
def developed(start: Start, shop: str = SHOP) -> Iterator[tuple[Run, Path]]:
    write(start, "project/shop.py", shop)
    write(start, "project/text.py", 'TEXT = "hello"\n')
    place = start.directory / "project"
    run = Run(start, "shop", "-w", "1", "--reload", cwd=place)
    run.ready()
    until(lambda: watcher(run), "there is a watcher")
    yield run, place
    assert run.stop() == 0


def watcher(run: Run) -> int | None:
    """Return the pid of the watcher once it watches: it alone has an inotify descriptor with something in it."""
    for pid in run.running.children():
        for info in Path(f"/proc/{pid}/fdinfo").iterdir():
            try:
                if "inotify wd:" in info.read_text():
                    return pid
            except FileNotFoundError:
                pass  # Closed since the folder was listed.
    return None


def served(run: Run, text: str) -> bool:
    try:
        return run.who()[1] == text
    except (OSError, http.client.HTTPException):
        return False


def test_the_last_save_of_any_kind_is_served(start: Start) -> None:
    took = []
    with developed(start) as (run, place):
        for number, save in enumerate(islice(cycle(SAVES), 100 if PROOF else len(SAVES))):
            tab = http.client.HTTPConnection("127.0.0.1", run.port, timeout=PATIENCE)
            tab.request("GET", "/")
            tab.getresponse().read()  # And kept open, as a browser does.
            save(place, f'TEXT = "{number}"\n')
            begun = monotonic()
            until(partial(served, run, str(number)), f"what was saved {save.__name__} is served")
            took.append((monotonic() - begun, save.__name__))
            tab.close()
        print("seconds until it was served:", sorted(took))
    assert not [line for line in run.running.err if "cut after" in line or "killed by the master" in line]
    assert not [line for line in run.running.err if "watcher: exited" in line]


WRITER = (
    SHOP
    + """
import time
for name, text in ("_version", f"VERSION = {time.time_ns()}"), ("_pb2", "NAMES = 7"):
    with open(f"{os.path.dirname(__file__)}/{name}.py", "w") as file:
        file.write(text)
import _version, _pb2
"""
)
MOMENTS = {
    "before a worker is ready": "os.register_at_fork(after_in_child=lambda: time.sleep(0.7))\n",
    "before the import ends": "time.sleep(1.2)\n",
}
"""When the watcher's notice comes, and what makes it so."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_import_that_writes_python_files_comes_to_an_end(start: Start, moment: str) -> None:
    with developed(start, WRITER + MOMENTS[moment]) as (run, place):
        plain(place, 'TEXT = "saved"\n')
        run.running.expect("^prefork: the import itself writes Python files: no reload for those$", "err")
        assert served(run, "saved")
        plain(place, 'TEXT = "once more"\n')
        until(lambda: served(run, "once more"), "a save is served all the same")


def test_an_edit_while_there_is_no_watcher_is_not_lost(start: Start) -> None:
    with developed(start) as (run, place):
        pid = watcher(run)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        plain(place, 'TEXT = "meanwhile"\n')
        until(lambda: served(run, "meanwhile"), "the edit is served")
