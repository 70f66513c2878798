"""What the watcher of code takes for a change, and what it says of folders that it cannot watch."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prefork._mold.watching.sources import changes
from prefork._mold.watching.tree import Tree


def write(path: Path, text: str = "x = 1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path / "p/shop.py")
    write(tmp_path / "p/pkg/views.py")
    return tmp_path / "p"


@pytest.fixture
def tree(project: Path) -> Tree:
    tree = Tree([str(project)])
    tree.scan()
    return tree


def test_other_content_is_a_change_and_the_same_again_is_none(project: Path, tree: Tree) -> None:
    assert tree.scan() == []
    shop = write(project / "shop.py", "x = 2")
    assert tree.scan() == [str(shop)]
    shop.unlink()
    write(shop, "x = 2")
    os.utime(shop, (1, 1))
    assert tree.scan() == []


def test_files_that_come_go_and_are_renamed_are_changes(project: Path, tree: Tree) -> None:
    new = write(project / "new/deep/one.py")
    assert tree.scan() == [str(new)]
    views = project / "pkg/views.py"
    other = write(project / "pkg/views.py.tmp", "x = 3")
    other.rename(views)
    assert tree.scan() == [str(views)]
    shutil.rmtree(project / "new")
    assert tree.scan() == [str(new)]


def test_a_replaced_project_is_compared_with_the_former_one(project: Path, tree: Tree) -> None:
    before = tree.folders
    project.rename(project.with_name("former"))
    assert len(tree.scan()) == 2
    shutil.copytree(project.with_name("former"), project)
    shop = write(project / "shop.py", "x = 4")
    assert str(shop) in tree.scan()
    assert [folder.path for folder in tree.folders] == [folder.path for folder in before]
    assert tree.folders != before, "other folders, which the kernel's notices are not about yet"


@pytest.mark.parametrize(
    "name",
    ["env/lib/six.py", ".tox/x.py", "__pycache__/x.py", "node_modules/x/x.py", "lib/site-packages/x.py", "notes.txt"],
)
def test_what_is_not_the_applications_code_is_no_change(project: Path, tree: Tree, name: str) -> None:
    write(project / "env/pyvenv.cfg", "home = /usr/bin")
    write(project / name)
    assert tree.scan() == []


def test_links_in_a_circle_end(project: Path, tree: Tree) -> None:
    (project / "again").symlink_to(project)
    assert tree.scan() == []


def test_files_since_a_moment_are_found(project: Path, tree: Tree) -> None:
    moment = os.stat(project / "shop.py").st_ctime - 60
    assert len(tree.since(moment)) == 2
    assert tree.since(moment + 3600) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read any folder")
def test_an_unreadable_folder_is_named(project: Path, tree: Tree) -> None:
    (project / "pkg").chmod(0)
    tree.scan()
    assert tree.unreadable == {str(project / "pkg"): "Permission denied"}
    assert [folder.path for folder in tree.folders] == [str(project)]


class Kernel:
    """A library whose kernel gives notices for a few folders only; then it reports a change, or ends the test."""

    def __init__(self, most: int, then: list[Any]) -> None:
        self.most, self.then, self.asked = most, then, [""]
        self.watchfiles = SimpleNamespace(RustNotify=self.ask)

    def ask(self, paths: list[str], *_options: Any) -> Kernel:
        if len(paths) > self.most:
            raise OSError("OS file watch limit reached") if self.most else RuntimeError("Too many open files")
        self.asked = paths
        return self

    def watch(self, _debounce: int, _step: int, timeout: int, _stop: Any) -> Any:
        return "timeout" if timeout else self.then.pop(0)()


def test_a_limit_of_the_kernel_leaves_the_first_folders_watched(project: Path) -> None:
    for number in range(6):
        write(project / f"d{number}/x.py")
    said: list[str] = []
    shop = project / "shop.py"
    kernel = Kernel(3, [lambda: {(1, str(write(shop, "x = 7")))}])
    assert next(changes([str(project)], 0.0, kernel.watchfiles, said.append))[0] == [str(shop)]
    assert kernel.asked[0] == str(project)
    [text] = said
    assert text.startswith(f"7 of 9 folders are not watched (the first: {project}/d1): fs.inotify.max_user_watches is ")
    assert text.endswith(": raise it by sysctl, or name fewer by --reload-dir")


def test_moment_of_a_change_is_its_files_or_that_of_the_notice(project: Path) -> None:
    shop = project / "shop.py"

    def removed() -> set[tuple[int, str]]:
        shop.unlink()
        return {(3, str(shop))}

    kernel = Kernel(9, [lambda: {(2, str(write(shop, "x = 7")))}, removed])
    found = changes([str(project)], 0.0, kernel.watchfiles, pytest.fail)
    assert next(found) == ([str(shop)], os.stat(shop).st_ctime_ns / 1e9)
    changed, at = next(found)
    assert changed == [str(shop)]
    assert at < time.time() - 0.3, "when there had been no notice for so long"


def test_without_notices_the_folders_are_read(project: Path) -> None:
    said: list[str] = []
    found: Iterator[tuple[list[str], float]] = changes(
        [str(project)], 0.0, Kernel(0, []).watchfiles, lambda text: edit(text)
    )

    def edit(text: str) -> None:
        said.append(text)
        write(project / "shop.py", "x = 8")

    assert next(found)[0] == [str(project / "shop.py")]
    assert said[0].startswith("no folder can be watched, so they are read each 1 s: fs.inotify.max_user_instances is ")


def test_a_change_before_a_watcher_was_started_again_is_not_lost(project: Path) -> None:
    moment = os.stat(project / "shop.py").st_ctime - 60
    changed, at = next(changes([str(project)], moment, Kernel(9, []).watchfiles, pytest.fail))
    assert len(changed) == 2
    assert at == max(os.stat(path).st_ctime_ns for path in changed) / 1e9
