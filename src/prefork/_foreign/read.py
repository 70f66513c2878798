"""What each tool would read of its settings, in its own order: the last one of a name holds."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence

from .every import TOOLS
from .files import in_ini, in_python, in_toml
from .found import Found, in_variables, in_words
from .gunicorn import GUNICORN
from .hypercorn import HYPERCORN
from .setting import Tool
from .uwsgi import UWSGI

_GUNICORN_FILE = "gunicorn.conf.py"

Read = tuple[list[Found], list[str]]
"""Settings, and the words that may name the target."""


def of(tool: Tool, words: Sequence[str], environ: Mapping[str, str]) -> Read:
    """Return what a tool would find with this command line and these variables. Raises UsageError."""
    match tool.name:
        case "gunicorn":
            return of_gunicorn(words, environ)
        case "uwsgi":
            return of_uwsgi(words)
        case "hypercorn":
            return of_hypercorn(words)
    line, rest = in_words(tool, words)
    implied = len(in_words(tool, [])[0])
    named = environ.get(f"{tool.prefix}APP", "") if tool.prefix else ""
    variables = list(in_variables(tool, environ)) if tool.prefix else []
    return [*line[:implied], *variables, *line[implied:]], rest or [named] * bool(named)


def of_variables(environ: Mapping[str, str]) -> tuple[Tool, Read] | None:
    """Return the tool whose application, or configuration, the variables and this directory name; None without one."""
    found, _ = of_gunicorn([], environ)
    if found:
        return GUNICORN, (found, [])
    named = next((tool for tool in TOOLS.values() if tool.prefix and environ.get(f"{tool.prefix}APP")), None)
    return None if named is None else (named, of(named, [], environ))


def of_uwsgi(words: Sequence[str]) -> Read:
    """Return the settings of a command line of uWSGI, with those of the ini files that it names before them."""
    line, rest = in_words(UWSGI, words)
    files = [*(each.value for each in line if each.setting.ours == "config"), *(w for w in rest if w.endswith(".ini"))]
    return [*(each for file in files for each in in_ini(file)), *line], [w for w in rest if w not in files]


def of_hypercorn(words: Sequence[str]) -> Read:
    """Return the settings of a command line of hypercorn, with those of the file that it names before them."""
    line, rest = in_words(HYPERCORN, words)
    named = [each.value for each in line if each.setting.ours == "config"]
    found: list[Found] = []
    if named:
        in_file = in_python if named[-1].startswith(("python:", "file:")) else in_toml
        found = list(in_file(HYPERCORN, named[-1]))
    return [*found, *(each for each in line if each.setting.ours != "config")], rest


def of_gunicorn(words: Sequence[str], environ: Mapping[str, str]) -> Read:
    """Return the settings of gunicorn as it would find them, the last one holding, and the words of the target."""
    line, rest = in_words(GUNICORN, words)
    variable, _ = in_words(GUNICORN, shlex.split(environ.get("GUNICORN_CMD_ARGS", "")), "GUNICORN_CMD_ARGS")
    named = [each.value for each in [*variable, *line] if each.setting.ours == "config"]
    file = named[-1] if named else _GUNICORN_FILE
    found = list(in_python(GUNICORN, file)) if named or os.path.exists(file) else []
    return [*found, *variable, *line], rest
