"""The command line: `prefork run`, and commands for running daemons.

A module holds the command of its own name, or several that belong together. It is imported only when one of them is
called (or for help), so that `prefork run` carries nothing of the others into the program that it executes, and
`status` starts quickly. A new command is a function in one of these modules: nothing here lists commands.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any

import click

from .._errors import did_you_mean

_MODULES = (
    *("run", "check", "new", "migrate", "systemd", "list", "status", "top", "control", "events", "debug", "profile"),
)
"""In the order of the help. Backwards is the cheapest way to a command that is not named as its module."""


def _commands_in(module: str) -> dict[str, click.Command]:
    names = vars(importlib.import_module(f"{__name__}.{module}"))
    return {value.name: value for value in names.values() if isinstance(value, click.Command) and value.name}


class _Commands(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order of the help."""
        return [name for module in _MODULES for name in _commands_in(module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command; None if there is no such command."""
        for module in [cmd_name] if cmd_name in _MODULES else reversed(_MODULES):
            if command := _commands_in(module).get(cmd_name):
                return command
        return None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; exit without a traceback on Ctrl-C (130) and if the output cannot be written (1)."""
        if sys.stdout is None:  # The caller has closed it.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would print "Aborted!" and exit with 1, as after a failure.
            sys.exit(130)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # So that the interpreter's last flush does not fail too.
            if error.errno != errno.EPIPE:  # EPIPE: `prefork events | head` has read enough.
                click.echo(f"prefork: {error}", err=True)
            sys.exit(1)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names; suggest one if it is misspelt."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            hint = did_you_mean(args[0], self.list_commands(ctx)) or "; `prefork --help` lists the commands"
            if _is_target(args[0]):
                hint = f": did you mean `prefork run {' '.join(args)}`?"
            ctx.fail(f"no such command: {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


def _is_target(text: str) -> bool:
    """Return whether a word names an application, rather than a command that is misspelt."""
    return ":" in text or text.endswith(".py") or os.path.exists(f"{text.replace('.', '/')}.py")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="prefork")
def main() -> None:
    """Run preforking daemons, and control running ones."""
