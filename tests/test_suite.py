"""What holds for every test: names that can be read in a list."""

from __future__ import annotations

import re
from pathlib import Path

LONGEST_NAME = 60


def test_names_of_tests_are_short() -> None:
    """Unit, condition, result: `test_reload_with_syntax_error_keeps_old_generation`."""
    files = Path(__file__).parent.rglob("test_*.py")
    names = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    assert len(names) > 900
    assert sorted(name for name in names if len(name) > LONGEST_NAME) == []
