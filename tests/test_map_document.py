"""The maps in docs/design.md and docs/map.md name every folder and module, by today's docstrings."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parent.parent / "docs"
LONGEST_DESIGN = 250


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_map", DOCS / "make_map.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_maps_are_current(maker: ModuleType) -> None:
    design = (DOCS / "design.md").read_text()
    stale = "run: python docs/make_map.py"
    assert maker.with_map(design) == design, stale
    assert maker.long_map() == (DOCS / "map.md").read_text(), stale


def test_every_module_says_what_it_is(maker: ModuleType) -> None:
    silent = [path for path in maker.SOURCE.rglob("*.py") if not maker.first_line(path)]
    assert not silent


def test_design_is_short() -> None:
    assert len((DOCS / "design.md").read_text().splitlines()) <= LONGEST_DESIGN
