"""Files of variables, as systemd, Docker and dotenv read them, and variables on the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prefork._errors import UsageError
from prefork._options.listed.assignment import assignment
from prefork._options.listed.env_file import read


def parsed(directory: Path, text: str) -> dict[str, str]:
    path = directory / "shop.env"
    path.write_text(text)
    return read(str(path), "shop.env")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("KEY=value", "value"),
        ("KEY=", ""),
        ("KEY=two words  ", "two words"),
        ("  export KEY = value", "value"),
        ("KEY=a=b#c #d", "a=b#c #d"),
        ("KEY=it's", "it's"),
        ('KEY="two  words " # why', "two  words "),
        (r'KEY="a \"b\" \\ \$HOME \n"', 'a "b" \\ $HOME \\n'),
        (r"KEY='a \"b\" $HOME'", r"a \"b\" $HOME"),
        ("KEY='first\nsecond'", "first\nsecond"),
        ('KEY=""', ""),
        ("KEY=$HOME", "$HOME"),
        ("KEY=Grüße", "Grüße"),
    ],
)
def test_each_form_of_a_value_is_read(tmp_path: Path, line: str, value: str) -> None:
    for end in "", "\n", "\r\n":
        assert parsed(tmp_path, line + end) == {"KEY": value}


def test_comments_and_empty_lines_are_left_out(tmp_path: Path) -> None:
    text = "# a comment\n\n  ; another, KEY=no\nONE=1\n\t\nTWO='2\n#2'\nONE=3"
    assert parsed(tmp_path, text) == {"ONE": "3", "TWO": "2\n#2"}
    assert parsed(tmp_path, "") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ONE=1\nTWO\n", "shop.env:2: the line is not KEY=VALUE, or a quote in it is not closed"),
        ("A='1\n2'\n\nB='3\nC=4\n", "shop.env:4: the line is not KEY=VALUE"),
        ('A="1" 2\n', "shop.env:1: the line is not KEY=VALUE"),
        ("1A=1\n", "shop.env:1: '1A' is not the name of a variable: letters, digits and '_', no digit first"),
        ("=1\n", "shop.env:1: '' is not the name of a variable"),
        ("A=1\nPREFORK_WORKERS=3\n", "shop.env:2: PREFORK_WORKERS is an option of prefork, which no application sees"),
        ("A=\0\n", "shop.env:1: the value of A has a null character"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        parsed(tmp_path, text)
    assert str(refused.value).startswith(why)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "none", "shop.env: cannot be read: No such file or directory"),
        (tmp_path, "shop.env: cannot be read: it is a directory, not a file"),
    ):
        with pytest.raises(UsageError) as refused:
            read(str(path), "shop.env")
        assert str(refused.value) == why
    (tmp_path / "bytes").write_bytes(b"A=\xff\n")
    with pytest.raises(UsageError, match="it is not UTF-8"):
        read(str(tmp_path / "bytes"), "shop.env")


def test_a_file_as_large_as_allowed_is_read_at_once(tmp_path: Path) -> None:
    """Its time grows with its size, also for quotes that are not closed."""
    lines = 100_000
    assert len(parsed(tmp_path, "".join(f"A{number}='{number}'\n" for number in range(lines)))) == lines
    with pytest.raises(UsageError):
        parsed(tmp_path, "A='" + "x\n" * lines + 'B="' + os.linesep * lines)


@pytest.mark.parametrize("text", ["KEY", "=1", "A B=1", "PREFORK_NAME=x", "A=\0", "1=1"])
def test_what_assigns_no_variable_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"KEY|name|option|null"):
        assignment(text)
    assert assignment("A=b=c") == "A=b=c"
