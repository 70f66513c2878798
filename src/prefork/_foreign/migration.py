"""From the settings of another tool to ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._options.option import Option
from .._options.table import BY_NAME
from .._options.types import Several
from .found import Found
from .setting import Tool, Values

_OF_CONCURRENCY = ("gunicorn", "uvicorn")
"""Tools that take the number of workers from WEB_CONCURRENCY, as ours does; for the others the file has it."""
_TARGET = re.compile(r"(?:(asgi|wsgi):)?([^:]+)(?::([\w.]+)(?:\(\))?)?")


@dataclass
class Migration:
    """Our options, a note to some, and a sentence for each setting without an equal."""

    values: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    """Of an address, or of the target: what the tool has as settings of their own."""

    def take(self, found: Sequence[Found]) -> None:
        """Take the settings in, the last one of a name holding; a list of one source adds up."""
        sources: dict[str, str] = {}
        last = {id(each.setting): each for each in found}
        for each in found:
            try:
                got = _values(each)
            except ValueError as error:
                if last[id(each.setting)] is each:
                    self.remarks.append(f"{each.source}: {each.name}: {str(error) or each.setting.text}")
                continue
            for name, value in got.items():
                if name.startswith("."):
                    self.parts[name[1:]] = value
                    continue
                again = isinstance(value, list) and sources.get(name) == each.source
                self.values[name] = [*self.values[name], *value] if again else value
                sources[name] = each.source
                self.notes.pop(name, None)
                if each.setting.note:
                    self.notes[name] = each.setting.note

    def target(self, words: list[str], tool: Tool) -> None:
        """Take the target from the words of a command line, or from its parts."""
        text = next((word for word in words if ":" in word), words[0] if words else self.values.get("target"))
        if text is None and (place := self.parts.get("place")):
            text = f"{place}:{self.parts.get('callable', tool.default_name)}"
        if text is None:
            self.remarks.append(f'{tool.name}: no application is named: add target, as in target = "shop:app"')
        elif (found := _TARGET.fullmatch(text)) is None:
            self.values.pop("target", None)
            self.remarks.append(f"TARGET: {text} has no equal: name an application, or a factory without arguments")
        else:
            interface, place, name = found.groups()
            self.values["target"] = f"{place}:{name or tool.default_name}"
            if interface:
                self.values["interface"] = interface

    def address(self) -> None:
        """Make an address of its parts; options of a socket's path go to each path."""
        if text := address_of(self.parts):
            self.values["bind"] = [*self.values.get("bind", []), text]
        query = "&".join(_path_options(self.parts))
        if query and "bind" in self.values:
            self.values["bind"] = [
                f"{each}?{query}" if each.startswith("unix:") else each for each in self.values["bind"]
            ]

    def defaults(self, tool: Tool, environ: Mapping[str, str]) -> None:
        """Add the tool's defaults where ours differ, and remove what does not go together."""
        for name, value in tool.defaults.items():
            unused = name == "threads" and self.values.get("interface") == "asgi"
            unused |= name == "workers" and tool.name in _OF_CONCURRENCY and "WEB_CONCURRENCY" in environ
            unused |= name == "tls_min_version" and "tls_cert" not in self.values
            if name not in self.values and not unused:
                self.values[name] = value
                if name != "server":
                    self.notes[name] = f"{tool.name}'s default"
        if self.values.get("interface") == "wsgi" and self.values.get("server") in ("uvicorn", "hypercorn"):
            server = self.values.pop("server")
            self.remarks.append(f"{server}: it serves ASGI applications here: waitress, or granian, serves this one")
        self.values = {name: value for name, value in self.values.items() if value is not None}

    def certificates(self, source: str) -> None:
        """Drop what makes no TLS here: options without a certificate, authorities without clients to verify."""
        values = {name: value for name, value in self.values.items() if (name, value) != ("tls_client", "none")}
        lost: list[str] = []
        if "tls_cert" not in values and (lost := [name for name in values if name.startswith("tls_")]):
            self.remarks.append(f"{source}: {', '.join(lost)}: no TLS without a certificate (tls_cert)")
        elif ("tls_ca" in values) != ("tls_client" in values):
            lost = [name for name in ("tls_ca", "tls_client") if name in values]
            self.remarks.append(f"{source}: {', '.join(lost)}: clients are verified by tls_client and tls_ca together")
        self.values = {name: value for name, value in values.items() if name not in lost}

    def check(self, source: str) -> None:
        """Drop the values that our file does not take, with a sentence for each."""
        for name, value in list(self.values.items()):
            option, why = BY_NAME[name], ""
            try:
                option.type.check(value)
            except ValueError as error:
                why = str(error)
            if not why and not option.in_file:
                why = f"give {option.flag} {value} to `prefork run`: the file cannot say where it is"
            if why:
                del self.values[name]
                self.notes.pop(name, None)
                self.remarks.append(f"{source}: {name}: {why}")


def migrated(tool: Tool, found: list[Found], words: list[str], environ: Mapping[str, str]) -> Migration:
    """Return what takes the place of a tool's settings and of the target among the words."""
    migration = Migration()
    migration.take(found)
    migration.target(words, tool)
    migration.address()
    migration.defaults(tool, environ)
    migration.check(tool.name)
    migration.certificates(tool.name)
    return migration


def address_of(parts: Mapping[str, str]) -> str | None:
    """Return the address of the parts that a tool has as settings of their own; None where they name none."""
    if "fd" in parts:
        return f"fd://{parts['fd']}"
    if "uds" in parts:
        return f"unix:{parts['uds']}"
    if "host" not in parts and "port" not in parts:
        return None
    host = parts.get("host", "127.0.0.1")
    return f"{f'[{host}]' if ':' in host else host}:{parts.get('port', '8000')}"


def _path_options(parts: Mapping[str, str]) -> Iterable[str]:
    owner, _, group = parts.get("chown", "").partition(":")
    mode = parts.get("mode", "").lstrip("0o")
    given = {"mode": mode, "owner": parts.get("owner") or owner, "group": parts.get("group") or group}
    return [f"{name}={value}" for name, value in given.items() if value]


def _values(found: Found) -> Values:
    """Return our values of one setting. Raises ValueError, which says why there is no equal."""
    setting = found.setting
    if found.source.endswith(".ini") and re.search(r"%[a-zA-Z(]|\$\(", str(found.value).removeprefix("%k")):
        raise ValueError(f"{found.value} has a placeholder of uWSGI: write its value")
    if setting.convert is not None:
        return setting.convert(found.value)
    if setting.ours not in BY_NAME:
        raise ValueError(f"{setting.ours}: {setting.text}" if setting.ours else setting.text)
    return {setting.ours: _of(BY_NAME[setting.ours], found.value)}


def _of(option: Option, value: Any) -> Any:
    """Return the value of our option; a text may be one from a command line, where all values are."""
    if isinstance(value, str):
        return [value] if isinstance(option.type, Several) else option.type.parse(value)
    return option.type.check(value)
