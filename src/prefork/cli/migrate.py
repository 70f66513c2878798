"""`prefork migrate`: the prefork.toml that does what another server's settings do."""

from __future__ import annotations

import os

import click

from .._errors import UsageError
from .._foreign import toml
from .._foreign.every import TOOLS
from .._foreign.found import Found, in_words, of_gunicorn, of_uwsgi
from .._foreign.migration import migrated
from .._foreign.setting import Tool
from ._say import say
from .run import refusing

_OURS = "prefork.toml"


@click.command(
    short_help="Print the prefork.toml of another server's settings.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--write", is_flag=True, help=f"Write {_OURS} in this directory; an existing one is left as it is.")
@click.argument("words", metavar="[FILE | COMMAND LINE]", nargs=-1, type=click.UNPROCESSED)
def migrate(words: tuple[str, ...], write: bool) -> None:
    """Print the prefork.toml that does what another server's settings do.

    FILE is a gunicorn.conf.py or an ini of uWSGI; COMMAND LINE is one of gunicorn, uvicorn, granian, hypercorn or
    uWSGI, as in `prefork migrate gunicorn -w 4 shop:app`. Without either, gunicorn.conf.py and GUNICORN_CMD_ARGS are
    read. For each setting without an equal, standard error has a line that says why, or what to do instead.
    """
    with refusing():
        tool, found, rest = _read(list(words))
        migration = migrated(tool, found, rest, os.environ)
        sources = dict.fromkeys([each.source for each in found] or [f"{tool.name}'s command line"])
        text = toml.text(migration.values, migration.notes, " and ".join(sources))
        for remark in migration.remarks:
            say(f"prefork: {remark}", err=True)
        if write:
            _write(text)
        else:
            say(text.removesuffix("\n"))


def _read(words: list[str]) -> tuple[Tool, list[Found], list[str]]:
    """Return the tool, its settings, and the words that may name the target. Raises UsageError."""
    for number, word in enumerate(words):  # Before it there may be a path, `python -m`, `poetry run`.
        name = os.path.basename(word)
        if name == "gunicorn":
            return TOOLS[name], *of_gunicorn(words[number + 1 :], os.environ)
        if name == "uwsgi":
            return TOOLS[name], *of_uwsgi(words[number + 1 :])
        if name in TOOLS and name != "supervisor":
            return TOOLS[name], *in_words(TOOLS[name], words[number + 1 :])
    if len(words) == 1 and words[0].endswith(".ini"):
        return TOOLS["uwsgi"], *of_uwsgi(words)
    if len(words) == 1 and words[0].endswith(".py"):
        return TOOLS["gunicorn"], *of_gunicorn(["-c", words[0]], os.environ)
    if not words:
        found, _ = of_gunicorn([], os.environ)
        if found:
            return TOOLS["gunicorn"], found, []
    what = "gunicorn.conf.py, GUNICORN_CMD_ARGS, an ini of uWSGI, or a command line such as gunicorn -w 4 shop:app"
    raise UsageError(f"migrate: nothing to read: give {what}")


def _write(text: str) -> None:
    try:
        with open(_OURS, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{_OURS} exists and is left as it is: remove it, or run migrate without --write") from None
    say(f"{_OURS}: written; `prefork check --show` prints every option", err=True)
