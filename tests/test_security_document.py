"""docs/security.md: each threat has its tests, and each module of attacks has its threat."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parents[1]
TABLE = (HERE / "docs/security.md").read_text().partition("| who | could |")[2].partition("\n\n")[0]
ROWS = [line.split(" | ") for line in TABLE.splitlines() if " | " in line and not line.startswith("|---")][1:]


def test_each_threat_names_tests_that_exist() -> None:
    assert len(ROWS) > 10
    for who, could, _, tests in ROWS:
        named = re.findall(r"`(tests/\S+\.py)`", tests)
        assert named, f"{who} | {could}"
        assert [path for path in named if not (HERE / path).exists()] == []


def test_each_module_of_attacks_is_named() -> None:
    modules = {f"tests/security/{path.name}" for path in (HERE / "tests/security").glob("test_*.py")}
    assert modules - set(re.findall(r"tests/security/\w+\.py", TABLE)) == set()
