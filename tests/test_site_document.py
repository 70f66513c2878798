"""The documentation site: it has every page, and the blocks of the pages are what they say they are."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from prefork._options.table import OPTIONS
from prefork.cli import main

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/README.md")])
BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for indent, language, text in BLOCK.findall(page.read_text()):
        if language in languages:
            yield re.sub(f"^{indent}", "", text, flags=re.MULTILINE)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_site_has_every_page() -> None:
    listed = set(re.findall(r": ([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert {page.name for page in ROOT.glob("docs/*.md")} <= listed


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_are_valid(page: Path) -> None:
    for text in blocks(page, "python"):
        compile(text, name(page), "exec")
    for text in blocks(page, "toml"):
        keys = set(tomllib.loads(text))
        assert not text.startswith("# prefork.toml") or keys <= {option.name for option in OPTIONS}
    for text in blocks(page, "json"):
        json.loads(text)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_have_their_options(page: Path) -> None:
    for command in commands(page):
        context = click.Context(main, info_name="prefork")
        subcommand = main.get_command(context, command[0])
        assert subcommand, command
        options = {option for each in subcommand.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
        given = {word.partition("=")[0] for word in command[1:] if word.startswith("--")}
        assert given <= options, command


def commands(page: Path) -> Iterator[list[str]]:
    """Return the commands of prefork in a page's shell blocks, each without what follows it in a pipe or a list."""
    for text in blocks(page, "sh", "console"):
        lines = text.splitlines()
        if "$ " in text:
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        for line in lines:
            for part in re.split(r"&&|\|\||[|;&]", line.partition(" #")[0]):
                words = (
                    shlex.split(part, comments=True) if part.count('"') % 2 == 0 and part.count("'") % 2 == 0 else []
                )
                if words and words[0].endswith("prefork") and len(words) > 1 and not words[1].startswith("-"):
                    yield words[1:]
