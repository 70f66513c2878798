"""Every relative link in the documentation leads somewhere, to its heading too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("examples/**/*.md")]
)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if ":" not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    """What stands as code and begins with a folder of ours: `tests/core/`, `_core/gap.py`, `bench/status.py reload`."""
    named = re.findall(r"`((?:tests|bench|docs|src|_[a-z]+)/[\w./]*)[^`]*`", page.read_text())
    missing = [name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "src" / "prefork"))]
    assert not missing


def test_promises_name_tests() -> None:
    rows = [line for line in (ROOT / "docs" / "promises.md").read_text().splitlines() if line.startswith("| **")]
    assert rows
    assert all(re.search(r"`tests/", row) for row in rows)
