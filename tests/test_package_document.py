"""What the package says of itself: its description on the index, its extras, its version."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
FOR_US = {"dev", "samples"}
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def description() -> str:
    """Return the README as the package index shows it (hatch-fancy-pypi-readme applies the same replacements)."""
    text = (ROOT / "README.md").read_text()
    for change in PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text, count = re.subn(change["pattern"], change["replacement"], text)
        assert count, f"{change['pattern']}: nothing in README.md is like that"
    return text


def test_description_has_no_relative_link() -> None:
    text = description()
    assert not re.findall(r"\]\((?!https?:)[^)]*\)", text)
    assert "\npip install 'prefork[standard]' fastapi\n" in text
    assert "checkout" not in text


def test_every_extra_has_its_reason() -> None:
    rows = [line for line in CONTRIBUTING.splitlines() if line.startswith("| `")]
    for extra in EXTRAS.keys() - FOR_US:
        assert any(f"`{extra}`" in row.split("|")[1] for row in rows), extra
    named = {re.split(r"[><=\[]", each)[0] for extra in EXTRAS.keys() - FOR_US for each in EXTRAS[extra]} - {"prefork"}
    for package in sorted(named | {re.split("[><=]", each)[0] for each in PROJECT["project"]["dependencies"]}):
        assert any(f"`{package}`" in row for row in rows), package


def whole(extra: str) -> set[str]:
    """Return the requirements of an extra, with those of the extras that it names."""
    found = set()
    for each in EXTRAS[extra]:
        named = re.fullmatch(r"prefork\[(.*)\]", each)
        found |= set().union(*map(whole, named[1].split(","))) if named else {each}
    return found


def test_extra_all_has_every_other_one() -> None:
    assert whole("all") == set().union(*map(whole, EXTRAS.keys() - FOR_US))


def test_extras_in_texts_exist() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("src/**/*.py")]
    named = {extra for page in pages for extra in re.findall(r"prefork\[(\w[\w,]*)\]'", page.read_text())}
    assert {"top", "watch", "uvicorn"} <= named
    assert {extra for several in named for extra in several.split(",")} <= EXTRAS.keys()


def test_versions_agree() -> None:
    version = PROJECT["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_classifiers_are_the_interpreters_that_are_tested() -> None:
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert versions == ["3.11", "3.12", "3.13", "3.14", "3.15"]


def is_text(path: Path) -> bool:
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    return True


def test_only_texts_and_pictures_of_docs_are_committed() -> None:
    """What else is not readable was fetched or built: a wheel that `pip download` had left in the root was here."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout: what is committed cannot be asked for")
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],  # Also where another user owns the clone.
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    files = [Path(each) for each in listed.stdout.split("\0") if each]
    assert Path("pyproject.toml") in files
    others = [each for each in files if (ROOT / each).exists() and not is_text(ROOT / each)]
    assert [str(each) for each in others if (each.parent.name, each.suffix) != ("docs", ".png")] == []
