"""The command line: `prefork run`, and what talks to a running daemon. One file a family of commands.

A family is imported when one of its commands is called (or help is asked for), so that `prefork run` carries nothing of
the others into the program that it executes, and `status` answers before anybody has to wait.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any

import click

_FAMILIES = {
    "run": ["run"],
    "check": ["check"],
    "status": ["status"],
    "steer": ["reload", "replan", "plan", "scale", "restart", "stop"],
    "events": ["events", "explain"],
    "debug": ["stacks", "crashes"],
    "top": ["top"],
}
"""Module of this package -> its commands, each a function of the command's name."""


class _Families(click.Group):
    """A group whose commands are imported one family at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order in which a newcomer meets them."""
        return [name for names in _FAMILIES.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command; None where there is none such."""
        for family, names in _FAMILIES.items():
            if cmd_name in names:
                command: click.Command = getattr(importlib.import_module(f"{__name__}.{family}"), cmd_name)
                return command
        return None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; end it in one line where it is interrupted, or its output cannot be written."""
        if sys.stdout is None:  # Whoever started us has closed it.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click's own word, "Aborted!", comes with 1: as if it had failed.
            sys.exit(130)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Nor does the interpreter's own last flush complain then.
            if error.errno != errno.EPIPE:  # `prefork events | head`: whoever reads has enough.
                click.echo(f"prefork: {error}", err=True)
            sys.exit(1)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find what the first argument names; a name that is nearly one is answered with that one."""
        if not args[0].startswith("-") and args[0] not in (names := self.list_commands(ctx)):
            from difflib import get_close_matches  # Here: it takes 4 ms, and `status` has few.

            near = get_close_matches(args[0], names, 1)
            ctx.fail(f"there is no command {args[0]!r}" + (f": did you mean {near[0]}?" if near else ""))
        return super().resolve_command(ctx, args)


@click.group(cls=_Families, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="prefork")
def main() -> None:
    """Run and steer preforking daemons."""
