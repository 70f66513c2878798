"""The flags of `prefork run` and `prefork check`, made from the table of options."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from .._options.option import Option
from .._options.records import Scope
from .._options.table import BY_NAME, OPTIONS
from .._options.types import Choice, Flag, OptionType, Several

F = TypeVar("F", bound=Callable[..., Any])

_SECTIONS: dict[Scope, str] = {"served": "Options for applications", "daemon": "Options for any daemon"}


class _Value(click.ParamType):  # type: ignore[type-arg] # Generic in newer clicks only.
    """A value of an option's type, with the errors of that type."""

    def __init__(self, type_: OptionType) -> None:
        self._type = type_
        self.name = type_.metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of the text."""
        try:
            return self._type.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the names of a choice, and files otherwise."""
        if isinstance(self._type, Choice):
            return [CompletionItem(name) for name in self._type.names if name.startswith(incomplete)]
        return [CompletionItem(incomplete, "file")]


class SectionedCommand(click.Command):
    """A command whose help groups the options by what they apply to."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the line; an option of another server leads to ours."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from .._launch.served.foreign import advice  # Here, since only a mistake needs it.

            if not (text := advice(error.option_name)):
                raise
            raise click.UsageError(f"no such option: {error.option_name}{text}", ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, with a heading for each scope."""
        scopes = {option.flag: option.scope for option in OPTIONS}
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in [*_SECTIONS.values(), "Other options"]}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                scope = scopes.get(param.opts[-1])
                sections[_SECTIONS[scope] if scope else "Other options"].append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def from_table(function: F) -> F:
    """Give a command the target and a flag for each option; `given` has the values on the line."""

    @wraps(function)
    def called(**arguments: Any) -> Any:
        own = {name: arguments.pop(name) for name in list(arguments) if name not in _FROM_TABLE}
        given = {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}
        return function(given={name: value for name, value in given.items() if value not in (None, [])}, **own)

    for option in reversed(OPTIONS):
        called = _flag(option)(called)
    return called  # type: ignore[return-value]


def flags_of(*names: str) -> Callable[[F], F]:
    """Give a command flags of these options alone, None where one is not given."""

    def flagged(function: F) -> F:
        for name in reversed(names):
            function = _flag(BY_NAME[name])(function)
        return function

    return flagged


_FROM_TABLE = {option.name for option in OPTIONS}


def _flag(option: Option) -> Callable[[F], F]:
    if option.name == "target":
        return click.argument("target", metavar="[TARGET]", required=False, type=_Value(option.type))
    names = [*([option.short] if option.short else []), option.flag, option.name]
    if isinstance(option.type, Flag):
        return click.option(f"{option.flag}/--no-{option.flag[2:]}", option.name, default=None, help=option.help)
    several = isinstance(option.type, Several)
    one = option.type.item if isinstance(option.type, Several) else option.type
    return click.option(*names, multiple=several, type=_Value(one), metavar=one.metavar, help=_help(option))


def _help(option: Option) -> str:
    default = option.default[0] if isinstance(option.default, list) else option.default
    if default is None or (default == 0 and "0:" not in option.help):
        return option.help
    shown = f"{default:g}" if isinstance(default, float) else default
    return option.help.removesuffix(".") + (f" (default: {shown})." if default else " (default).")
