"""The command line: `prefork run`, and what talks to a running daemon. One file a family of commands."""

from __future__ import annotations

import click

from .run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="prefork")
def main() -> None:
    """Run and steer preforking daemons."""


main.add_command(run)
