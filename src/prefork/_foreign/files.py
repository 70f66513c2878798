"""Settings of other tools in files: Python of gunicorn and hypercorn, TOML of hypercorn, an ini of uWSGI."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .._errors import UsageError
from .found import Found
from .setting import Setting, Tool
from .uwsgi import UWSGI

_IMPORT_TIMEOUT = 30
"""Seconds that a configuration in Python may take."""
_NAMED = re.compile(r"%\(([\w.-]+)\)")
_UNKNOWN = "no equal is known: docs/run.md has the options"
_EXECUTE = """
import importlib, json, os, runpy, sys
place, wanted, out = sys.argv[1], set(sys.argv[2:]), os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
name = place.removeprefix("python:")
if name == place:
    values = runpy.run_path(place, run_name="__config__")
else:
    try:
        found = importlib.import_module(name)
    except ModuleNotFoundError as error:  # An object of a module, for hypercorn.
        if "." not in name or error.name != name:
            raise
        found = getattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2])
    values = {each: getattr(found, each) for each in dir(found)}
text = lambda value: getattr(value, "__name__", None) or str(value)
json.dump({name: value for name, value in values.items() if name in wanted}, out, default=text)
"""
"""Runs the file, and prints what the tool knows of it; what the file prints itself goes to standard error."""


def in_python(tool: Tool, place: str) -> Iterator[Found]:
    """Yield the settings of a configuration in Python, a file or `python:MODULE`. Raises UsageError."""
    path = place.removeprefix("file:")
    yield from _of(tool, os.path.basename(path), _executed(path, _keys(tool)))


def in_toml(tool: Tool, path: str) -> Iterator[Found]:
    """Yield the settings of a configuration in TOML. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # Of TOML, or of its encoding.
        raise UsageError(f"{path}: {error}") from None
    yield from _of(tool, os.path.basename(path), values)


def _keys(tool: Tool) -> dict[str, Setting]:
    return {key: each for each in tool.settings for key in each.keys}


def _of(tool: Tool, source: str, values: Mapping[str, Any]) -> Iterator[Found]:
    """Yield settings of a file, without those that are not used."""
    known = _keys(tool)
    for name, value in values.items():
        setting = known.get(name, Setting(name, "", _UNKNOWN))
        unused = value is False and setting.convert is None
        if value not in (None, "", [], {}) and not unused:
            yield Found(source, name, setting, value)


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
    known = _keys(UWSGI)
    named = set(_NAMED.findall(" ".join(filter(None, section.values()))))
    for name in [each for each in section if each in known or each not in named]:
        value = section[name]
        setting = known.get(name, Setting(name, "", _UNKNOWN))
        yield Found(os.path.basename(path), name, setting, _filled("true" if value is None else value, section))


def _filled(value: str, section: Mapping[str, str]) -> str:
    """Return a value with the values of the keys that it names: `%(base)`."""
    for _ in range(8):  # One may name another.
        value = _NAMED.sub(lambda found: section.get(found[1]) or found[0], value)
    return value
