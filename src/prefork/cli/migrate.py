"""`prefork migrate`: the prefork.toml that does what another server's settings do."""

from __future__ import annotations

import os

import click

from .._errors import UsageError
from .._foreign import toml
from .._foreign.every import TOOLS
from .._foreign.found import Found
from .._foreign.migration import migrated
from .._foreign.read import of, of_variables
from .._foreign.setting import Tool
from ._daemon import errors_as, json_option, print_json
from ._say import say

_OURS = "prefork.toml"
_OF_FILES = {".py": TOOLS["gunicorn"], ".toml": TOOLS["hypercorn"], ".ini": TOOLS["uwsgi"]}


@click.command(
    short_help="Print the prefork.toml of another server's settings.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--write", is_flag=True, help=f"Write {_OURS} in this directory; an existing one is left as it is.")
@json_option
@click.argument("words", metavar="[FILE | COMMAND LINE]", nargs=-1, type=click.UNPROCESSED)
def migrate(words: tuple[str, ...], write: bool, as_json: bool) -> None:
    """Print the prefork.toml that does what another server's settings do.

    FILE is a gunicorn.conf.py, a TOML file of hypercorn or an ini of uWSGI; COMMAND LINE is one of gunicorn, uvicorn,
    granian, hypercorn or uWSGI, as in `prefork migrate gunicorn -w 4 shop:app`. A tool's own variables, such as
    UVICORN_PORT, are read with its command line. Without either, gunicorn.conf.py and GUNICORN_CMD_ARGS are read, or
    the variables of the tool whose application they name (UVICORN_APP). For each setting without an equal, standard
    error has a line that says why, or what to do instead.
    """
    with errors_as(as_json):
        tool, found, rest = _read(list(words))
        migration = migrated(tool, found, rest, os.environ)
        sources = dict.fromkeys([each.source for each in found] or [f"{tool.name}'s command line"])
        text = toml.text(migration.values, migration.notes, " and ".join(sources))
        for remark in () if as_json else migration.remarks:
            say(f"prefork: {remark}", err=True)
        if write:
            _write(text)
        if as_json:
            remarks = migration.remarks
            print_json({"tool": tool.name, "options": migration.values, "remarks": remarks, "toml": text})
        elif not write:
            say(text.removesuffix("\n"))


def _read(words: list[str]) -> tuple[Tool, list[Found], list[str]]:
    """Return the tool, its settings, and the words that may name the target. Raises UsageError."""
    for number, word in enumerate(words):  # Before it there may be a path, `python -m`, `poetry run`.
        name = os.path.basename(word)
        if name in TOOLS and name != "supervisor":
            return TOOLS[name], *of(TOOLS[name], words[number + 1 :], os.environ)
    if len(words) == 1 and (tool := _OF_FILES.get(os.path.splitext(words[0])[1])) is not None:
        options = words if tool.name == "uwsgi" else ["-c", words[0]]
        return tool, *of(tool, options, os.environ)
    if not words and (found := of_variables(os.environ)) is not None:
        return found[0], *found[1]
    what = "a gunicorn.conf.py, hypercorn's TOML, an ini of uWSGI, or a command line such as gunicorn -w 4 shop:app"
    raise UsageError(f"migrate: nothing to read: give {what}")


def _write(text: str) -> None:
    try:
        with open(_OURS, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{_OURS} exists and is left as it is: remove it, or run migrate without --write") from None
    say(f"{_OURS}: written; `prefork check --show` prints every option", err=True)
