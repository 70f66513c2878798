"""docs/promises.md: each promise stands there once, with tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parents[1]
ROWS = [line for line in (HERE / "docs/promises.md").read_text().splitlines() if line.startswith("| **")]


def test_each_promise_stands_once_and_names_tests_that_exist() -> None:
    promises = [row.split("**")[1].rstrip(".") for row in ROWS]
    assert len(promises) == len(set(promises)) > 20
    for row in ROWS:
        named = re.findall(r"`(tests/[^`]+)`", row)
        assert named, row
        assert [path for path in named if not (HERE / path).exists()] == []
