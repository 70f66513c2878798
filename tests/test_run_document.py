"""docs/run.md names every option just as the table has it."""

from __future__ import annotations

from pathlib import Path

from prefork._options.option import Option
from prefork._options.table import OPTIONS
from prefork._options.types import Flag

DOCUMENT = Path(__file__).parent.parent / "docs" / "run.md"


def row(option: Option) -> str:
    """Return the row that the document has to have; `python tests/test_run_document.py` prints them all."""
    default = option.default[0] if isinstance(option.default, list) else option.default
    shown = "" if default is None or default is False else f"{default:g}" if isinstance(default, float) else default
    shown = "on" if shown is True else shown
    short = f"`{option.short}`, " if option.short else ""
    metavar = "" if isinstance(option.type, Flag) else f" {option.type.metavar}".replace("|", "\\|")
    flag = "`TARGET`" if option.name == "target" else f"{short}`{option.flag}{metavar}`"
    return f"| {flag} | `{option.name}` | {shown} | {option.help} |".replace("|  |", "| |")


def rows(scope: str) -> list[str]:
    return [row(option) for option in OPTIONS if option.scope == scope]


def test_each_option_stands_there_as_the_table_has_it() -> None:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(("| `-", "| `TARGET"))]
    assert lines == [*rows("served"), *rows("daemon")]


if __name__ == "__main__":
    print("\n".join([*rows("served"), "", *rows("daemon")]))
