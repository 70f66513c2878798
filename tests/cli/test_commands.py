"""The first word of a command line, where it is no command."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from prefork.cli import main


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["staus"], "did you mean status?"),
        (["shop:app"], "did you mean `prefork run shop:app`?"),
        (["src/shop.py", "-w", "4"], "did you mean `prefork run src/shop.py -w 4`?"),
        (["site.wsgi"], "did you mean `prefork run site.wsgi`?"),
        (["frobnicate"], "`prefork --help` lists the commands"),
    ],
)
def test_word_that_is_no_command_is_answered(
    words: list[str], answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "wsgi.py").touch()
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert f"no such command: {words[0]!r}" in result.output
    assert answer in result.output
