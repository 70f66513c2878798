"""Every option of `prefork run` in one table, and how its value is found.

Defaults < `PORT`, `WEB_CONCURRENCY` and `FORWARDED_ALLOW_IPS` of a hosting platform < the file (`prefork.toml`, or
`[tool.prefork]` in `pyproject.toml`) < variables `PREFORK_...` < command line.
The flags, the keys of the file, the variables, `prefork check --show` and docs/run.md are made from the table.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import UsageError, did_you_mean
from .._linux import regular_file
from .._records.members import fields
from .agent.metrics import METRICS
from .listed.daemon import DAEMON, NAMING
from .listed.environment import ENVIRONMENT
from .listed.served import SERVED
from .option import PREFIX, Option
from .records import DaemonOptions, KindOptions
from .target import daemon_name

_SERVICE_LINK = re.compile(
    r".*(_SERVICE_(HOST|PORT(_\w+)?)=|_PORT(_\d+_\w+)?=\w+://|_PORT_\d+_[A-Z]+_(PROTO|PORT|ADDR)=)"
)
"""A variable that Kubernetes, or a link of Docker's, sets in each container for a service called `prefork-...`."""


def _of(record: type[KindOptions | DaemonOptions]) -> Iterator[Option]:
    """Return the options that code, or `prefork run`, can give."""
    for each in fields(record):
        if each.metadata["scope"] != "code":
            yield Option(each.name, each.metadata["type"], each.default, each.metadata["help"], each.metadata["scope"])


OPTIONS = (*NAMING, *SERVED, *_of(KindOptions), *DAEMON, *METRICS, *ENVIRONMENT, *_of(DaemonOptions))
_OF_PLATFORMS = (
    ("WEB_CONCURRENCY", "workers", ""),
    ("PORT", "bind", ":"),
    ("FORWARDED_ALLOW_IPS", "forwarded_allow_ips", ""),
)
"""Variable, option, and what stands before the variable's value in the option's."""
PLATFORM = frozenset(variable for variable, _, _ in _OF_PLATFORMS)
"""Names of the variables that hosting platforms set."""
BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}


@dataclass(frozen=True, slots=True)
class Settings:
    """The value and the source of every option. `file` is the path of the file that was read, or None."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    file: str | None

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def given(self, name: str) -> bool:
        """Whether the operator gave it, even if the value is the default; what a platform sets is for applications."""
        return self.source(name) not in {"default", *PLATFORM}

    def given_for(self, record: type[KindOptions | DaemonOptions]) -> dict[str, Any]:
        """Return the options of a record that the operator gave."""
        return {each.name: self[each.name] for each in fields(record) if self.given(each.name)}

    def source(self, name: str) -> str:
        """The source of the value, for people."""
        return self.sources.get(name, "default")


def resolve(command_line: Mapping[str, Any], environ: Mapping[str, str], directory: str) -> Settings:
    """Return the value of every option for a daemon that is started in `directory`.

    `command_line` has the values of the flags that were given. Raises UsageError, which names the place, for an unknown
    option and for a value that is not allowed. The default name of a daemon is made of its target.
    """
    variables = dict(_from_environ(environ))
    chosen = command_line.get("config") or variables.get("config")
    file, table = _find_file(chosen, directory)
    values: dict[str, Any] = {option.name: option.default for option in OPTIONS}
    sources: dict[str, str] = {}
    for variable, name, value in _from_platform(environ):
        values[name], sources[name] = value, variable
    for name, value in _from_file(file, table):
        values[name], sources[name] = value, f"{_place(file)}: {name}"
    for name, value in variables.items():
        values[name], sources[name] = value, BY_NAME[name].variable
    for name, value in command_line.items():
        values[name], sources[name] = value, "TARGET" if name == "target" else BY_NAME[name].flag
    if values["name"] is None and values["target"] is not None:
        values["name"] = daemon_name(values["target"], directory)
    return Settings(values, sources, file)


def daemon_here(environ: Mapping[str, str], directory: str) -> tuple[str | None, str | None]:
    """Return name and target of the daemon that `resolve` would start, even if its other options are wrong.

    A user who has broken the file still wants the status of the daemon that runs with the earlier one. Raises
    UsageError if the name is unknown.
    """
    naming = ("name", "target", "config")
    wanted = {BY_NAME[name].variable for name in naming}
    variables = dict(_from_environ({variable: text for variable, text in environ.items() if variable in wanted}))
    file, table = _find_file(variables.get("config"), directory)
    values = dict(_from_file(file, {name: value for name, value in table.items() if name in naming})) | variables
    name, target = values.get("name"), values.get("target")
    return daemon_name(target, directory) if name is None and target is not None else name, target


def _from_platform(environ: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    """Return variable, option and value of what hosting platforms set, with the meaning that it has for gunicorn."""
    for variable, name, before in _OF_PLATFORMS:
        if text := environ.get(variable):
            try:
                yield variable, name, BY_NAME[name].type.parse(before + text)
            except ValueError as error:
                raise UsageError(f"{variable}: {error}") from None


def _from_environ(environ: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    known = {option.variable: option for option in OPTIONS}
    for variable, text in environ.items():
        option = known.get(variable)
        if not variable.startswith(PREFIX) or (option is None and _SERVICE_LINK.match(f"{variable}={text}")):
            continue
        if option is None:
            raise UsageError(f"{variable}: there is no such variable" + did_you_mean(variable, known))
        try:
            yield option.name, option.type.parse(text)
        except ValueError as error:
            raise UsageError(f"{variable}: {error}") from None


def _find_file(chosen: str | None, directory: str) -> tuple[str | None, Mapping[str, Any]]:
    """Return the file's path for messages, and its table of options."""
    if chosen is not None:
        return chosen, _read(os.path.join(directory, chosen), chosen)
    for name in "prefork.toml", "pyproject.toml":
        path = os.path.join(directory, name)
        if os.path.exists(path) and (table := _read(path, name)):
            return name, table
    return None, {}


def _read(path: str, shown: str) -> Mapping[str, Any]:
    import tomllib

    try:
        data = tomllib.loads(regular_file.read(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{shown}: {error}") from None
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read: {error.strerror}") from None
    if os.path.basename(path) != "pyproject.toml":
        return data
    tool = data.get("tool", {})
    table = tool.get("prefork", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"{shown}: [tool.prefork] must be a table")
    return table


def _from_file(file: str | None, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    known = {option.name: option for option in OPTIONS if option.in_file}
    for name, value in table.items():
        option = known.get(name)
        if option is None:
            raise UsageError(f"{_place(file)}: there is no option {name}" + did_you_mean(name, known))
        try:
            yield name, option.type.check(value)
        except ValueError as error:
            raise UsageError(f"{_place(file)}: {name}: {error}") from None


def _place(file: str | None) -> str:
    """Return the place of the options, for messages."""
    return f"{file} [tool.prefork]" if os.path.basename(file or "") == "pyproject.toml" else f"{file}"
