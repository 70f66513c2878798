"""`prefork new`: a small project to begin with."""

from __future__ import annotations

import os

import click

from .._errors import UsageError
from .._options.types import DAEMON_NAME
from ._daemon import errors_as, json_option, print_json
from ._new.project import project
from ._new.templates import TEMPLATES
from ._say import say


@click.command(short_help="Write a small project: application, tests, unit, container.")
@click.argument("name")
@click.option(
    "-t",
    "--template",
    type=click.Choice(list(TEMPLATES)),
    required=True,
    help="Kind of project: " + "; ".join(f"{each.name}: {each.title}" for each in TEMPLATES.values()) + ".",
)
@json_option
def new(name: str, template: str, as_json: bool) -> None:
    """Write a small project into a new directory NAME: it runs, and passes its tests.

    NAME is a path; its last part becomes the name of the daemon. Nothing that exists is changed.
    """
    with errors_as(as_json):
        directory = os.path.abspath(name)
        try:
            own = DAEMON_NAME.check(os.path.basename(directory))
        except ValueError as error:
            raise UsageError(f"{name}: {error}") from None
        texts = project(own, TEMPLATES[template])
        _write(directory, texts)
        if as_json:
            print_json({"directory": directory, "files": list(texts)})
            return
        say(f"{directory}: written; next:")
        say(f"    cd {name}\n    pip install -r requirements-dev.txt\n    pytest\n    prefork run")


def _write(directory: str, texts: dict[str, str]) -> None:
    """Write the files. Raises UsageError where the directory exists and has files, and where it cannot be written."""
    try:
        if os.path.isdir(directory) and os.listdir(directory):
            raise UsageError(f"{directory} exists and has files: give another name, or empty it")
        for path, text in texts.items():
            file = os.path.join(directory, path)
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "x", encoding="utf-8") as opened:
                opened.write(text)
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be written: {error.strerror}") from None
