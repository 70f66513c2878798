"""The documentation site, built, and read as files in a browser: it asks no other host, and its search works."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import Browser
from support import Start, until

ROOT = Path(__file__).parent.parent.parent
DESKTOP, PHONE = (1280, 900), (390, 844)
SEARCH = """
(field => {
    field.focus()
    field.value = "orphan"
    field.dispatchEvent(new Event("input", {bubbles: true}))
    field.dispatchEvent(new KeyboardEvent("keyup", {bubbles: true}))
})(document.querySelector(".md-search__input"))
"""
FOUND = "[...document.querySelectorAll('.md-search-result__link')].map(link => link.href).join(' ')"
BROKEN = (
    "[...document.images].filter(image => !image.complete || !image.naturalWidth).map(image => image.src).join(' ')"
)

SCROLLS = "document.querySelectorAll('.md-typeset pre > code, .md-typeset__scrollwrap')"
SCROLLING = f"[...{SCROLLS}].filter(each => each.scrollWidth > each.clientWidth)"
UNREACHED = f"{SCROLLING}.filter(each => each.tabIndex < 0).length"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="`make docs` installs what builds the site")
    directory: Path = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return directory


@pytest.fixture
def browser(start: Start) -> Iterator[Browser]:
    opened = Browser(start)
    yield opened
    opened.close()


def test_pages_ask_no_other_host(site: Path) -> None:
    asked = {
        (page.name, address)
        for page in site.rglob("*.html")
        for address in re.findall(
            r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"?(https?:[^\" >]+)", page.read_text()
        )
    }
    assert not asked


def test_search_of_each_page_has_a_name(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert site / "404.html" in pages
    assert [page.name for page in pages if '<div class="md-search" aria-label="Search" ' not in page.read_text()] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages_are_whole(site: Path, browser: Browser, size: tuple[int, int], scheme: str) -> None:
    for name in "index", "tutorial", "api", "run", "why", "examples/index":
        page = browser.page(f"file://{site}/{name}.html", *size, prefers_color_scheme=scheme)
        until(lambda: page.evaluate("document.readyState") == "complete", name)  # noqa: B023
        assert not page.evaluate(BROKEN), name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the screen"
        assert not page.errors, (name, page.errors)


def test_what_scrolls_is_reached_by_keys(site: Path, browser: Browser) -> None:
    """Also what scrolls only after the window has become smaller."""
    for name in "access-log", "multiprocessing":
        page = browser.page(f"file://{site}/{name}.html", *DESKTOP)
        page.until(f"document.readyState === 'complete' && {UNREACHED} === 0")
        wide = page.evaluate(f"{SCROLLING}.length")
        page.resize(*PHONE)
        page.until(f"{SCROLLING}.length > {wide} && {UNREACHED} === 0")


@pytest.mark.parametrize("name", ["index", "examples/jobs/index"])
def test_search_works_without_a_server(site: Path, browser: Browser, name: str) -> None:
    page = browser.page(f"file://{site}/{name}.html")
    until(lambda: page.evaluate("document.readyState") == "complete", name)

    def found() -> bool:
        page.evaluate(SEARCH)
        return "design.html" in page.evaluate(FOUND)

    until(found, "a result")
