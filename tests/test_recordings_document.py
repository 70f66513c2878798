"""Pictures of the tutorial show what its text says, which `tests/system/test_tutorial.py` compares with commands."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from textual.binding import Binding

from prefork.cli._top.app import Top
from prefork.cli._top.columns import columns_for

DOCS = Path(__file__).parent.parent / "docs"


def squeezed(text: str) -> str:
    """Return a text without what differs from one run to the next, and without where its lines were broken."""
    return re.sub(r"0x[0-9a-f]+|[\d.:+-]|\s", "", text.replace("\N{NO-BREAK SPACE}", " "))


def said() -> list[str]:
    """Return what the page's blocks say, without a line that a terminal shows only while a command runs."""
    page = re.sub(r"^reload: importing generation .*\n", "", (DOCS / "tutorial.md").read_text(), flags=re.MULTILINE)
    return [
        squeezed(block) for block in re.findall(r"^```(?:console|text)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ]


def shown(picture: str) -> str:
    """Return the text of a terminal in a picture, without the title of its window."""
    _, *cells = re.findall(r"<text [^>]*>(.*?)</text>", (DOCS / picture).read_text())
    return html.unescape("".join(cells))


@pytest.mark.parametrize("scene", ["reload", "hang"])
def test_pictures_show_what_the_tutorial_says(scene: str) -> None:
    """If the page is right: `python docs/make_recordings.py`."""
    picture = squeezed(shown(f"tutorial-{scene}.svg"))
    assert any(block and block in picture for block in said()), picture


def test_picture_of_top_has_its_columns_and_keys() -> None:
    """If not: `python bench/picture_of_top.py`."""
    picture = shown("top.svg").replace("\N{NO-BREAK SPACE}", " ")
    keys = [key.description for key in Top.BINDINGS if isinstance(key, Binding) and key.show]
    missing = [word for word in (*keys, *(column.heading for column, _ in columns_for(11, 96))) if word not in picture]
    assert not missing
