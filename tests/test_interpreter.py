"""Versions and builds of CPython that the log names."""

from __future__ import annotations

import pytest

from prefork._mold.environment.interpreter import remarks


@pytest.mark.parametrize("version", [(3, 14, 0), (3, 14, 4)])
def test_a_version_with_the_withdrawn_collector_is_named(version: tuple[int, int, int]) -> None:
    [text] = remarks(version, False)
    assert text.startswith(f"Python 3.14.{version[2]} frees garbage late")
    assert text.endswith("use 3.14.5")


@pytest.mark.parametrize("version", [(3, 13, 0), (3, 14, 5), (3, 14, 10), (3, 15, 0)])
def test_other_versions_are_not(version: tuple[int, int, int]) -> None:
    assert remarks(version, False) == []


def test_free_threaded_build_is_named_with_what_it_lacks() -> None:
    [text] = remarks((3, 15, 2), True)
    assert text == "Python 3.15.2 is a free-threaded build: prefork is not tested on it, share='immortal' is impossible"
