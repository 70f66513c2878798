"""docs/hooks.md: its tables are complete, and every program in the documents has its guard."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import prefork

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "hooks.md").read_text()

EXPORTS = [
    *("WorkerContext", "encodeToString", "decodeFromString", "rtsOptions", "PreforkSettings", "PreforkResource"),
    *("prProcs", "prWorkers", "makePreforkResource", "emptyPreforkResource", "updateWorkerSet", "defaultMain"),
    *("runSettings", "forkWorkerProcess", "forkWorkerProcessWithArgs", "preforkEnvKey", "defaultSettings"),
    *("relaunchSettings",),
]
"""What haskell-prefork's module System.Prefork exports, but for the nine fields of PreforkSettings."""


def section(heading: str) -> str:
    match = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert match, heading
    return match[1]


def rows(text: str) -> list[list[str]]:
    """Return the cells of the lines of tables."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]


def test_every_export_of_haskell_prefork_has_its_name_here() -> None:
    table = rows(section("Names in haskell-prefork"))
    named = " ".join(word for row in table for word in row)
    assert [name for name in EXPORTS if not re.search(rf"\b{name}\b", named)] == []
    for row in table:
        for name in re.findall(r"`(\w+)", row[1]):
            assert hasattr(prefork, name) or hasattr(prefork.WorkerContext, name) or name == "field", name


def test_every_public_name_of_the_interface_is_on_the_page() -> None:
    missing = [name for name in prefork._HOMES["hooks"] if f"`{name}" not in PAGE]
    assert missing == []


def test_every_hook_is_on_the_page_with_its_arguments() -> None:
    from prefork._hooks.functions import _ARGUMENTS

    assert _ARGUMENTS.keys() == {field.name for field in fields(prefork.PreforkSettings)} - {"drain_timeout"}
    for name, arguments in _ARGUMENTS.items():
        assert f"`{name}({', '.join(arguments)})`" in section("The nine hooks")


def test_page_walks_through_every_sample() -> None:
    names = sorted(path.name for path in (ROOT / "src" / "prefork" / "samples").glob("[a-z]*.py"))
    assert [name for name in names if f"`{name}`" not in section("The samples")] == []


def test_page_answers_for_every_promise() -> None:
    promises = re.findall(r"^\| \*\*(.*?)\.?\*\*", (ROOT / "docs" / "promises.md").read_text(), re.MULTILINE)
    answered = [line.split("|")[1].strip() for line in section("Promises").splitlines() if line[:2] == "| "]
    assert [promise for promise in promises if not any(promise.startswith(row) for row in answered)] == []


PROGRAMS = [
    *(path for folder in ("examples", "src/prefork/samples") for path in (ROOT / folder).rglob("*.py")),
    *(path for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")]),
]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_program_starts_its_master_behind_the_guard(path: Path) -> None:
    """Otherwise a child of multiprocessing that imports it would start another."""
    text = path.read_text()
    found = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if path.suffix == ".md" else [text]
    starting = r"^(?:[\w.]*\brun\(\)|(?:prefork\.)?(?:default_main|run_settings)\(.*|main\(\))$"
    assert not any(re.search(starting, source, re.MULTILINE) for source in found)
