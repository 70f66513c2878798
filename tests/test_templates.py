"""`prefork new`: what it writes is what the examples are, and it overwrites nothing."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import templates
from prefork._options.records import KindOptions
from prefork.cli import main
from prefork.cli._new.project import NAME, project
from prefork.cli._new.templates import TEMPLATES

DOCUMENT = (templates.EXAMPLES.parent / "docs" / "templates.md").read_text()


@pytest.mark.parametrize("template", TEMPLATES)
def test_example_is_what_the_template_writes(template: str) -> None:
    """After a change of a template: `python tests/templates.py`."""
    written = templates.example(template)
    for path, text in written.items():
        assert path.exists(), path
        assert path.read_text() == text, path
    folder = templates.EXAMPLES / templates.FOLDERS[template]
    left = {path for path in folder.rglob("*") if path.is_file() and "cache" not in str(path)}
    assert {path for path in left if ".sqlite" not in path.name} == set(written)


@pytest.mark.parametrize("template", TEMPLATES)
def test_project_has_every_part(template: str) -> None:
    texts = project("my-shop", TEMPLATES[template])
    parts = {
        "Dockerfile",
        "compose.yaml",
        "my-shop.service",
        "prefork.toml",
        "requirements.txt",
        "requirements-dev.txt",
    }
    assert texts.keys() >= parts
    assert ("nginx.conf" in texts) == (TEMPLATES[template].proxy != "none")
    assert not [path for path, text in texts.items() if NAME in text]
    settings = tomllib.loads(texts["prefork.toml"])
    assert (settings["name"], settings["target"]) == ("my-shop", TEMPLATES[template].target)
    assert f"ExecStart=/srv/my-shop/.venv/bin/prefork run {settings['target']}\n" in texts["my-shop.service"]
    assert f"| `{template}` |" in DOCUMENT
    assert f"`{settings['target']}`" in DOCUMENT


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_limit_is_longer_than_the_drain(template: str) -> None:
    texts = project("shop", TEMPLATES[template])
    drain = TEMPLATES[template].drain_timeout
    assert drain >= KindOptions().drain_timeout
    assert f"stop_grace_period: {drain + 15:g}s" in texts["compose.yaml"]
    assert f"TimeoutStopSec={drain + 30:g}\n" in texts["shop.service"]


def test_new_writes_a_directory(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["new", str(tmp_path / "shop"), "--template", "flask"])
    assert result.exit_code == 0
    assert "pip install -r requirements-dev.txt" in result.output
    again = CliRunner().invoke(main, ["new", str(tmp_path / "other"), "--template", "flask", "--json"])
    assert set(json.loads(again.output)["files"]) == {path.name for path in (tmp_path / "other").iterdir()}
    assert (tmp_path / "shop" / "app.py").read_text() == (templates.EXAMPLES / "flask" / "app.py").read_text()
    assert not stat.S_IMODE((tmp_path / "shop" / "app.py").stat().st_mode) & stat.S_IWOTH


def test_new_changes_nothing_that_exists(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("mine")
    result = CliRunner().invoke(main, ["new", str(tmp_path), "--template", "flask"])
    assert result.exit_code == 2
    assert "exists and has files" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["a shop", "--template", "flask"], "a daemon's name"),
        (["shop", "--template", "rails"], "'rails' is not one of"),
        (["shop"], "--template"),
    ],
)
def test_wrong_use_is_refused(words: list[str], answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["new", *words])
    assert result.exit_code == 2
    assert answer in result.output
    assert not list(tmp_path.iterdir())


def test_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(main, ["new", str(tmp_path / "file" / "shop"), "--template", "flask"])
    assert result.exit_code == 2
    assert "cannot be written: Not a directory" in result.output
