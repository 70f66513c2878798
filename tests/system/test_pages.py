"""The whole programs on the pages of docs/: each is imported, and its plan computed, as a start would."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support import Start
from system.runs import PREFORK

ROOT = Path(__file__).parent.parent.parent
PROGRAM = re.compile(r"^```python\n(# (\w+\.py)\n.*?)^```$", re.MULTILINE | re.DOTALL)
SERVED = re.compile(r"^(daemon|app) = |^(?:async )?def (app)\b", re.MULTILINE)
"""What `prefork run` would serve. Programs with hooks have no plan, parts of an application and tests neither."""


def programs() -> list[tuple[str, str, str]]:
    """Return the page, the target and the text of each."""
    return [
        (page.name, f"{name}:{served[1] or served[2]}", text)
        for page in sorted(ROOT.glob("docs/*.md"))
        for text, name in PROGRAM.findall(page.read_text())
        if (served := SERVED.search(text))
    ]


@pytest.mark.parametrize(("page", "target", "text"), programs(), ids=lambda value: value if len(value) < 40 else "")
def test_program_of_a_page_has_a_plan(start: Start, page: str, target: str, text: str) -> None:
    (start.directory / target.partition(":")[0]).write_text(text)
    check = start.command(PREFORK, "check", target)
    assert check.wait() == 0, (page, check.err)
