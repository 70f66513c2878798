"""What was found of another tool's settings, in files, variables and command lines."""

from __future__ import annotations

import configparser
import getopt
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import UsageError
from .gunicorn import GUNICORN
from .setting import Setting, Tool
from .uwsgi import UWSGI

_IMPORT_TIMEOUT = 30
"""Seconds that a configuration in Python may take."""
_GUNICORN_FILE = "gunicorn.conf.py"
_NAMED = re.compile(r"%\(([\w.-]+)\)")
_EXECUTE = """
import importlib, json, os, runpy, sys
place, wanted, out = sys.argv[1], set(sys.argv[2:]), os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
module = place.removeprefix("python:")
values = runpy.run_path(place, run_name="__config__") if module == place else vars(importlib.import_module(module))
text = lambda value: getattr(value, "__name__", None) or str(value)
json.dump({name: value for name, value in values.items() if name in wanted}, out, default=text)
"""
"""Runs the file, and prints what gunicorn knows of it; what the file prints itself goes to standard error."""


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


def of_uwsgi(words: Sequence[str]) -> tuple[list[Found], list[str]]:
    """Return the settings of a command line of uWSGI, with those of the ini files that it names before them."""
    line, rest = in_words(UWSGI, words)
    files = [*(each.value for each in line if each.setting.ours == "config"), *(w for w in rest if w.endswith(".ini"))]
    return [*(each for file in files for each in in_ini(file)), *line], [w for w in rest if w not in files]


def of_gunicorn(words: Sequence[str], environ: Mapping[str, str]) -> tuple[list[Found], list[str]]:
    """Return the settings of gunicorn as it would find them, the last one holding, and the words of the target."""
    line, rest = in_words(GUNICORN, words)
    variable, _ = in_words(GUNICORN, shlex.split(environ.get("GUNICORN_CMD_ARGS", "")), "GUNICORN_CMD_ARGS")
    named = [each.value for each in [*variable, *line] if each.setting.ours == "config"]
    file = named[-1] if named else _GUNICORN_FILE
    found = list(in_gunicorn_file(file)) if named or os.path.exists(file) else []
    return [*found, *variable, *line], rest


def in_gunicorn_file(place: str) -> Iterator[Found]:
    """Yield the settings of a gunicorn.conf.py, or of `python:MODULE`. Raises UsageError."""
    known = {key: each for each in GUNICORN.settings for key in each.keys}
    path = place.removeprefix("file:")
    for name, value in _executed(path, known).items():
        unused = value is False and known[name].convert is None
        if value not in (None, "", [], {}) and not unused:
            yield Found(os.path.basename(path), name, known[name], value)


def _executed(path: str, wanted: Iterable[str]) -> dict[str, Any]:
    """Return what a configuration assigns to the names wanted; a process of its own executes it, in its directory."""
    folder, name = (".", path) if path.startswith("python:") else os.path.split(path)
    if not path.startswith("python:") and not os.path.isfile(path):
        raise UsageError(f"there is no file {path}")
    command = [sys.executable, "-c", _EXECUTE, name, *wanted]
    try:
        done = subprocess.run(
            command, cwd=folder or ".", stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_IMPORT_TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode == 0 and done.stdout:
            return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        raise UsageError(f"{path}: it does not return within {_IMPORT_TIMEOUT} s") from None
    lines = done.stderr.strip().splitlines() if done.returncode == 1 else []
    reason = lines[-1] if lines else f"it ended with status {done.returncode}"
    raise UsageError(f"{path}: it cannot be executed: {reason}")


class _Together(dict[str, Any]):
    """A section whose repeated keys are lines of one value, as uWSGI adds them up; configparser keeps the last one."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and isinstance(earlier := self.get(key), list):
            earlier.extend(value)
        else:
            super().__setitem__(key, value)


class _Ini(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


def in_ini(path: str) -> Iterator[Found]:
    """Yield the settings of the section [uwsgi] of an ini. Raises UsageError."""
    parser = _Ini(dict_type=_Together, strict=False, delimiters=("=",), allow_no_value=True)
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
        section = dict(parser["uwsgi"])
    except KeyError:
        raise UsageError(f"{path}: it has no section [uwsgi]") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from None
    known = {key: each for each in UWSGI.settings for key in each.keys}
    named = set(_NAMED.findall(" ".join(filter(None, section.values()))))
    for name in [each for each in section if each in known or each not in named]:
        value = section[name]
        setting = known.get(name, Setting(name, "", "no equal is known: docs/run.md has the options"))
        yield Found(os.path.basename(path), name, setting, _filled("true" if value is None else value, section))


def _filled(value: str, section: Mapping[str, str]) -> str:
    """Return a value with the values of the keys that it names: `%(base)`."""
    for _ in range(8):  # One may name another.
        value = _NAMED.sub(lambda found: section.get(found[1]) or found[0], value)
    return value
