"""What was found of another tool's settings in a command line or in variables."""

from __future__ import annotations

import getopt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import UsageError
from . import convert
from .setting import Setting, Tool


@dataclass(frozen=True, slots=True)
class Found:
    """A setting, where it was found, its name there, and its value."""

    source: str
    name: str
    setting: Setting
    value: Any


def in_words(tool: Tool, words: Sequence[str], source: str = "") -> tuple[list[Found], list[str]]:
    """Return the settings of a command line, and its other words. Raises UsageError."""
    source = source or f"{tool.name}'s command line"
    flags = {flag: each for each in tool.settings for flag in each.flags or [f"--{key}" for key in each.keys]}
    short = "".join(flag[1] + ":" * each.takes_value for flag, each in flags.items() if len(flag) == 2)
    long = [flag[2:] + "=" * each.takes_value for flag, each in flags.items() if flag.startswith("--")]
    try:
        pairs, rest = getopt.gnu_getopt([*tool.implied, *words], short, long)
    except getopt.GetoptError as error:
        raise UsageError(f"{source}: {error}") from None
    return [Found(source, name, flags[name], value if flags[name].takes_value else True) for name, value in pairs], rest


def in_variables(tool: Tool, environ: Mapping[str, str]) -> Iterator[Found]:
    """Yield the settings of the tool's own variables, such as UVICORN_PORT; an empty one counts as absent."""
    flags = {flag: each for each in tool.settings for flag in each.flags}
    names = {flag[2:].replace("-", "_").upper(): (flag, "") for flag in flags if flag.startswith("--")}
    names.update(tool.variables)
    source = f"{tool.name}'s variables"
    for name, value in environ.items():
        if not value or not name.startswith(tool.prefix) or (known := names.get(name[len(tool.prefix) :])) is None:
            continue
        flag, separator = known
        if flags[flag].takes_value:
            yield from (Found(source, name, flags[flag], part) for part in _parts(value, separator))
        elif convert.truth(value):
            yield Found(source, name, flags[flag], True)
        elif (opposite := flags.get(f"--no-{flag[2:]}")) is not None:
            yield Found(source, name, opposite, True)


def _parts(value: str, separator: str) -> list[str]:
    """Return the values of a variable that has several, as click separates them."""
    return [part for part in re.split(f"[{separator}]+", value) if part] if separator else [value]
