"""The pages docs/coming-from-TOOL.md are those that the tables make today."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_pages_are_current() -> None:
    spec = importlib.util.spec_from_file_location("make_moving", DOCS / "make_moving.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    stale = [path.name for path, text in maker.pages() if not path.exists() or path.read_text() != text]
    assert not stale, "run: python docs/make_moving.py"
