"""The command that an error names for a program: what one would type here."""

from __future__ import annotations

import os
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from prefork._linux.place import check, command_for, is_child_of_multiprocessing


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("greeters.py", ("greeters.py", "python greeters.py")),
        ("src/a b.py", ("src/a b.py", "python 'src/a b.py'")),
        ("/elsewhere/greeters.py", ("/elsewhere/greeters.py", "python /elsewhere/greeters.py")),
    ],
)
def test_a_file_is_named_as_one_would_type_it_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, expected: tuple[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_for({"__file__": os.path.join(tmp_path, path)}) == expected
    assert command_for({"__file__": os.path.join(tmp_path, path), "__spec__": ModuleSpec("greeters", None)}) == expected


@pytest.mark.parametrize("name", ["pkg.greeters", "pkg.sub.greeters", "pkg.__main__"])
def test_a_module_of_a_package_is_run_as_a_module(name: str) -> None:
    spec = ModuleSpec(name, None)
    expected = name.removesuffix(".__main__")
    assert command_for({"__file__": "/any.py", "__spec__": spec}) == (expected, f"python -m {expected}")


def test_file_has_a_name_where_the_directory_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert command_for({"__file__": "/srv/greeters.py"}) == ("/srv/greeters.py", "python /srv/greeters.py")


def test_a_master_may_start_in_an_ordinary_process() -> None:
    assert not is_child_of_multiprocessing()
    check("default_main()")
